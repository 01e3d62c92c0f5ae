package org.iommuemu.probe.pci;

/**
 * The Single Root I/O Virtualization capability of a physical function (9.3.3). VF n, from 1, has the requester ID of
 * the physical function plus {@code firstOffset + (n - 1) * stride}, modulo 2<sup>16</sup>.
 *
 * @param numVfs how many virtual functions there are; 0 unless VF Enable is set
 * @param firstOffset 16 bits
 * @param stride 16 bits
 * @param vfDevice the Device ID of the virtual functions, which read as 0xffff themselves
 */
record Sriov(int numVfs, int firstOffset, int stride, int vfDevice) {
    int requesterId(int physical, int n) {
        return physical + firstOffset + (n - 1) * stride & 0xffff;
    }
}
