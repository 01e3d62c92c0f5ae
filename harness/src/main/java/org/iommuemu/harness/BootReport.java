package org.iommuemu.harness;

import java.util.List;

/**
 * What came of a boot. Its components are the fields of the JSON object that {@code boot --json} prints.
 *
 * @param board name of the tree
 * @param cmdline the hypervisor's command line
 * @param rc what {@code iommu_setup} returned: the name of an error, or "OK"
 * @param panic the hypervisor's last words, or null
 * @param ioVirtualisation whether it is on
 * @param rounds how many rounds of the deferred list were run
 * @param iommus the available IOMMUs, in tree order
 * @param masters the masters behind IOMMUs; none where I/O virtualisation is off
 * @param dispatch how operations find their IOMMU: "uniform", or "mixed" where there are several kinds
 * @param unmap what a change of domain 0's P2M came to, where several kinds of IOMMU stand in front of its devices; else
 *     null
 * @param operations what a toolstack's operations answered, in their order
 */
public record BootReport(
        String board,
        String cmdline,
        String rc,
        String panic,
        boolean ioVirtualisation,
        int rounds,
        List<Iommu> iommus,
        List<MasterResult> masters,
        String dispatch,
        Unmap unmap,
        List<Operation> operations) {

    /**
     * One IOMMU.
     *
     * @param path its node
     * @param compatible the first of its node; null if a device with the older binding of grant-DMA has none
     * @param kind "smmuv3", "ipmmu-root", "ipmmu-cache" or "grant-dma"
     * @param base bus address of its registers, in hex; null if it has none
     * @param answers what its driver answered each time it was asked
     */
    public record Iommu(String path, String compatible, String kind, String base, List<String> answers) {
        /** Whether it came up. */
        public boolean up() {
            return !answers.isEmpty() && answers.get(answers.size() - 1).equals("OK");
        }
    }

    /**
     * One master.
     *
     * @param path its node, the host bridge's for functions behind one
     * @param iommu the node of the IOMMU in front of it
     * @param ids its StreamIDs or micro-TLB numbers
     * @param domain the domain that it belongs to, null if it could not be assigned
     * @param dma "ok", or what went wrong
     * @param fault the fault that the access which had to fault reported; null if there was none
     */
    public record MasterResult(String path, String iommu, List<Long> ids, Integer domain, String dma, String fault) {
        /** Whether its DMA came through, and the access that had to fault did. */
        public boolean ok() {
            return dma.equals("ok") && fault != null;
        }
    }

    /**
     * A page was taken out of a domain's P2M while its devices used it.
     *
     * @param domain its number
     * @param page guest-physical address, in hex
     * @param table address of the one table that all IOMMUs walk, in hex; of their copy with {@code no-sharept}
     * @param paths every way to the page
     */
    public record Unmap(int domain, String page, String table, List<Path> paths) {
        /** Whether every access went through before, and none after. */
        public boolean ok() {
            return paths.stream().allMatch(path -> path.before.equals("ok") && path.after != null);
        }
    }

    /**
     * A way of a domain's DMA.
     *
     * @param master its node
     * @param iommu the node of the IOMMU
     * @param kind of the IOMMU
     * @param id StreamID, micro-TLB number or backend domain
     * @param before what an access came to before the page was taken: "ok", or what went wrong
     * @param after the fault that the same access reported afterwards; null if it still reached the page
     */
    public record Path(String master, String iommu, String kind, long id, String before, String after) {}

    /**
     * An operation of a toolstack.
     *
     * @param operation as it was asked for
     * @param answer "OK" or the name of an error
     * @param detail more about it, or null
     */
    public record Operation(String operation, String answer, String detail) {}
}
