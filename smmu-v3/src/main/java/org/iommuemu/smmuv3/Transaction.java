package org.iommuemu.smmuv3;

import org.iommuemu.mmio.Translator;

/**
 * An access of a client device, as it arrived. Made only where something is fetched or recorded.
 *
 * @param substreamId or {@link Translator#NO_SUBSTREAM}
 * @param address the input address
 * @param access bits of {@link org.iommuemu.mmio.Access}
 */
record Transaction(int streamId, int substreamId, long address, int access) {
    boolean hasSubstream() {
        return substreamId != Translator.NO_SUBSTREAM;
    }

    Transaction as(int otherAccess) {
        return new Transaction(streamId, substreamId, address, otherAccess);
    }
}
