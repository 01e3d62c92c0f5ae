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
 */
public record BootReport(
        String board,
        String cmdline,
        String rc,
        String panic,
        boolean ioVirtualisation,
        int rounds,
        List<Iommu> iommus,
        List<MasterResult> masters) {

    /**
     * One IOMMU.
     *
     * @param path its node
     * @param compatible the first of its node
     * @param kind "smmuv3", "ipmmu-root" or "ipmmu-cache"
     * @param base bus address of its registers, in hex
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
}
