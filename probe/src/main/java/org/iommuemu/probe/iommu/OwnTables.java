package org.iommuemu.probe.iommu;

/** What a driver can do that keeps tables of its own for a domain, as Linux' do (struct iommu_domain_ops). */
public interface OwnTables {
    /** Protection: readable (Linux IOMMU_READ). */
    int READ = 1;

    /** Protection: writable (Linux IOMMU_WRITE). */
    int WRITE = 2;

    /**
     * Maps a range of a domain's I/O virtual addresses. The domain has a device.
     *
     * @param iova first byte; as {@code physical} and {@code size}, a multiple of the page size
     * @param protection {@link #READ} and {@link #WRITE}
     */
    Errno map(Domain domain, long iova, long physical, long size, int protection);

    /**
     * Unmaps a range and invalidates it; when it returns, no access uses it any more.
     *
     * @return bytes that were unmapped, from the start of the range
     */
    long unmap(Domain domain, long iova, long size);

    /** The physical address that an I/O virtual one leads to, or -1. */
    long iovaToPhys(Domain domain, long iova);
}
