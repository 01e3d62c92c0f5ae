package org.iommuemu.probe.pci;

import java.util.BitSet;

/** The configuration space of one function, 64 to 4096 bytes of it, and what groups need of that. */
final class ConfigSpace {
    static final int HEADER = 0x40;
    static final int LEGACY = 0x100;
    static final int SIZE = 0x1000;

    private static final int STATUS_CAPABILITIES = 1 << 4;
    private static final int CAPABILITY_PCI_EXPRESS = 0x10;
    private static final int EXTENDED_ACS = 0x0d;
    private static final int EXTENDED_ARI = 0x0e;
    private static final int EXTENDED_SRIOV = 0x10;
    private static final int PHANTOM_FUNCTIONS_ENABLE = 1 << 9;
    private static final int ARI_FORWARDING_ENABLE = 1 << 5;
    private static final int VF_ENABLE = 1;

    private final byte[] bytes;
    private final int known;

    /** @param known how many bytes are there; what lies behind reads as 0 */
    ConfigSpace(byte[] bytes, int known) {
        this.bytes = bytes;
        this.known = known;
    }

    private int byteAt(int offset) {
        return offset < known ? bytes[offset] & 0xff : 0;
    }

    private int word(int offset) {
        return byteAt(offset) | byteAt(offset + 1) << 8;
    }

    private int dword(int offset) {
        return word(offset) | word(offset + 2) << 16;
    }

    /** Whether every byte of the header is 0xff, as of a function that did not answer. */
    boolean silent() {
        for (int i = 0; i < HEADER; i++) {
            if (byteAt(i) != 0xff) {
                return false;
            }
        }
        return true;
    }

    /** Fills in what the bytes say (7.5.1). */
    void describe(FunctionDraft draft, String where, Quirks quirks) {
        int layout = byteAt(0x0e) & 0x7f;
        draft.multifunction = !silent() && (byteAt(0x0e) & 0x80) != 0;
        draft.classCode = word(0x0a);
        draft.id = new PciId(word(0), word(2), layout == 0 ? word(0x2c) : 0, layout == 0 ? word(0x2e) : 0);
        if (layout == 1 || layout == 2) {
            int secondary = byteAt(0x19);
            int subordinate = byteAt(0x1a);
            if (secondary != 0) {
                if (subordinate < secondary) {
                    throw new PciException(
                            where,
                            "%s: subordinate bus %02x is below secondary bus %02x",
                            draft.address,
                            subordinate,
                            secondary);
                }
                draft.buses = new BusRange(secondary, subordinate);
            }
        }
        if (silent() || (word(6) & STATUS_CAPABILITIES) == 0) {
            return;
        }
        int express = capability(byteAt(layout == 2 ? 0x14 : 0x34), where, draft.address);
        if (express == 0) {
            return;
        }
        draft.type = PcieType.of(word(express + 2) >> 4 & 0xf);
        if ((word(express + 8) & PHANTOM_FUNCTIONS_ENABLE) != 0) {
            draft.phantomBits = dword(express + 4) >> 3 & 3;
        }
        draft.ariForwarding = (word(express + 0x28) & ARI_FORWARDING_ENABLE) != 0;
        int acs = extended(EXTENDED_ACS, where, draft.address);
        if (acs != 0) {
            draft.acs = quirks.acsInDwords(draft.id, draft.type)
                    ? new Acs(word(acs + 4), word(acs + 8))
                    : new Acs(word(acs + 4), word(acs + 6));
        }
        draft.ari = extended(EXTENDED_ARI, where, draft.address) != 0;
        int sriov = extended(EXTENDED_SRIOV, where, draft.address);
        if (sriov != 0) {
            int numVfs = (word(sriov + 8) & VF_ENABLE) != 0 ? word(sriov + 0x10) : 0;
            draft.sriov = new Sriov(numVfs, word(sriov + 0x14), word(sriov + 0x16), word(sriov + 0x1a));
        }
    }

    /** The offset of the PCI Express capability; 0 if the list has none (7.5.1.1.11). */
    private int capability(int first, String where, PciAddress address) {
        BitSet seen = new BitSet();
        for (int at = first & 0xfc; at >= HEADER && at < Math.min(known, LEGACY); at = byteAt(at + 1) & 0xfc) {
            if (seen.get(at)) {
                throw new PciException(where, "%s: its capabilities go round in a circle at 0x%x", address, at);
            }
            seen.set(at);
            if (byteAt(at) == CAPABILITY_PCI_EXPRESS) {
                return at;
            }
        }
        return 0;
    }

    /** The offset of an extended capability; 0 if there is none (7.6.3). */
    private int extended(int id, String where, PciAddress address) {
        BitSet seen = new BitSet();
        for (int at = LEGACY; at >= LEGACY && at + 4 <= known; at = dword(at) >>> 20 & 0xffc) {
            int header = dword(at);
            if (header == 0 || header == -1) {
                return 0;
            }
            if (seen.get(at)) {
                throw new PciException(
                        where, "%s: its extended capabilities go round in a circle at 0x%x", address, at);
            }
            seen.set(at);
            if ((header & 0xffff) == id) {
                return at;
            }
        }
        return 0;
    }
}
