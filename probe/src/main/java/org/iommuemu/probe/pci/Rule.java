package org.iommuemu.probe.pci;

/** What puts two functions into one group. docs/pci-groups.md tells where each rule comes from. */
public enum Rule {
    /** Their DMA may bear the same requester ID, or one takes the other's DMA over as its own. */
    ALIAS("alias"),
    /** The bridge above does not send all requests on to the root, or one above it does not. */
    ACS_PATH("acs-path"),
    /** Functions of one device, neither of which has ACS that keeps them apart. */
    MULTI_FUNCTION("multi-function"),
    /** Behind one switch, one of whose downstream ports lets requests through to the others. */
    SIBLINGS("siblings"),
    /** The IOMMU sees one StreamID of both: {@code iommu-map-mask}, or ranges that overlap. */
    STREAM_ID("stream-id");

    private final String word;

    Rule(String word) {
        this.word = word;
    }

    /** Its name in reports and options. */
    public String word() {
        return word;
    }
}
