package org.iommuemu.smmuv3;

/**
 * What a PE's TLBI instruction tells the SMMUs of its shareability domain (IHI 0070, 3.17). It reaches TLBs, never the
 * ATCs of endpoints.
 *
 * @param scope which entries
 * @param vmid 16 bits; 0 from a PE without EL2. Ignored by scopes without one, as are the others
 * @param asid 16 bits
 * @param address an address of the page in bytes; an IPA for {@link Scope#IPAS2E1}
 */
public record BroadcastInvalidation(Scope scope, int vmid, int asid, long address) {
    /** Scopes as the instructions are named, each with the command that has the same (4.4). */
    public enum Scope {
        ALLE1(Command.Opcode.CMD_TLBI_NSNH_ALL),
        VMALLE1(Command.Opcode.CMD_TLBI_NH_ALL),
        VMALLS12E1(Command.Opcode.CMD_TLBI_S12_VMALL),
        ASIDE1(Command.Opcode.CMD_TLBI_NH_ASID),
        VAE1(Command.Opcode.CMD_TLBI_NH_VA),
        VAAE1(Command.Opcode.CMD_TLBI_NH_VAA),
        IPAS2E1(Command.Opcode.CMD_TLBI_S2_IPA),
        ALLE2(Command.Opcode.CMD_TLBI_EL2_ALL),
        /** ASIDE1 and VMALLE1 of a PE in EL2 Host mode. */
        ASIDE2(Command.Opcode.CMD_TLBI_EL2_ASID),
        VAE2(Command.Opcode.CMD_TLBI_EL2_VA),
        VAAE2(Command.Opcode.CMD_TLBI_EL2_VAA);

        private final Command.Opcode opcode;

        Scope(Command.Opcode opcode) {
            this.opcode = opcode;
        }
    }

    /** The command that does the same in an SMMU: of a scope of both stages, what concerns the stages that there are (3.17). */
    Command command(SmmuFeatures features) {
        boolean stage1Alone = scope == Scope.VMALLS12E1 && !features.has(SmmuFeature.S2P);
        Command.Opcode opcode = stage1Alone ? Command.Opcode.CMD_TLBI_NH_ALL : scope.opcode;
        return new Command(opcode.number | (vmid & 0xffffL) << 32 | (asid & 0xffffL) << 48, address & -1L << 12);
    }
}
