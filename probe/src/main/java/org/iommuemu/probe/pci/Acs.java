package org.iommuemu.probe.pci;

import java.util.ArrayList;
import java.util.List;

/**
 * The Access Control Services of a function (6.12, 7.7.8). A service that the capability lacks needs no switching on: it
 * is wired, or has nothing to act on.
 *
 * @param capability the ACS Capability Register, 16 bits
 * @param control the ACS Control Register, 16 bits
 */
public record Acs(int capability, int control) {
    /** Source Validation: a request must bear a requester ID from below the port. */
    public static final int SV = 1;
    /** Translation Blocking. */
    public static final int TB = 1 << 1;
    /** P2P Request Redirect. */
    public static final int RR = 1 << 2;
    /** P2P Completion Redirect. */
    public static final int CR = 1 << 3;
    /** Upstream Forwarding. */
    public static final int UF = 1 << 4;
    /** P2P Egress Control. */
    public static final int EC = 1 << 5;
    /** Direct Translated P2P. */
    public static final int DT = 1 << 6;

    /** What isolation takes (Linux iommu.c, REQ_ACS_FLAGS). */
    public static final int REQUIRED = SV | RR | CR | UF;

    /** Names by bit. */
    static final List<String> NAMES = List.of("SV", "TB", "RR", "CR", "UF", "EC", "DT");

    /** Whether all that isolation takes is in force (Linux pci_acs_flags_enabled). */
    boolean isolates() {
        int needed = REQUIRED & capability;
        return (control & needed) == needed;
    }

    /** As Linux leaves it where an IOMMU asked for ACS (pci_std_enable_acs). */
    public Acs switchedOn() {
        return new Acs(capability, control | capability & REQUIRED);
    }

    /** As {@code lspci} shows controls: {@code SV+ RR- ...}, of what the capability has. */
    @Override
    public String toString() {
        List<String> parts = new ArrayList<>();
        for (int bit = 0; bit < NAMES.size(); bit++) {
            if ((capability >> bit & 1) != 0) {
                parts.add(NAMES.get(bit) + ((control >> bit & 1) != 0 ? "+" : "-"));
            }
        }
        return parts.isEmpty() ? "nothing to control" : String.join(" ", parts);
    }
}
