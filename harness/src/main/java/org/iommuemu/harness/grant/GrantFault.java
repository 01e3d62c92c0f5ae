package org.iommuemu.harness.grant;

/** Why a backend may not access what it asked for. Xen's status to the backend is that of GNTTABOP_map_grant_ref. */
public enum GrantFault {
    /** The address is none of a grant: bit 63 is clear. */
    NOT_A_GRANT("GNTST_bad_virt_addr"),
    /** The domain has no grant table. */
    BAD_DOMAIN("GNTST_bad_domain"),
    /** The reference is past the table. */
    BAD_REFERENCE("GNTST_bad_gntref"),
    /** The entry grants no access to a page. */
    NOT_GRANTED("GNTST_general_error"),
    /** The entry is for another domain. */
    FOREIGN_DOMAIN("GNTST_general_error"),
    /** A write, and the entry is for reading. */
    READ_ONLY("GNTST_general_error"),
    /** The entry changed under the hypervisor's hands, five times. */
    UNSTABLE("GNTST_general_error"),
    /** The frame is none of the granting domain's, or not any more. */
    BAD_FRAME("GNTST_bad_page");

    private final String status;

    GrantFault(String status) {
        this.status = status;
    }

    /** What Xen's hypercall returns. */
    public String status() {
        return status;
    }
}
