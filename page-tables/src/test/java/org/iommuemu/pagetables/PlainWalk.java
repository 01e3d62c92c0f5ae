package org.iommuemu.pagetables;

import java.util.EnumSet;
import java.util.Set;
import java.util.function.LongUnaryOperator;

/**
 * Translation table walks told as plainly as the Arm ARM tells them (D8.2 to D8.6), to compare {@link TableWalk} with:
 * one step after the other, every field by its bit numbers, structures instead of packed values. Shares no code with what
 * it checks.
 */
public final class PlainWalk {
    public enum Cause {
        TRANSLATION,
        ADDRESS_SIZE,
        ACCESS_FLAG,
        PERMISSION,
        EXTERNAL_ABORT,
        SECURITY
    }

    public enum Right {
        USER_READ,
        USER_WRITE,
        USER_EXECUTE,
        KERNEL_READ,
        KERNEL_WRITE,
        KERNEL_EXECUTE
    }

    public enum Type {
        DEVICE,
        NORMAL
    }

    public enum Cache {
        NON_CACHEABLE,
        WRITE_THROUGH,
        WRITE_BACK
    }

    /** Inner or outer cacheability, with the hints. */
    public record Cacheability(Cache cache, boolean transientHint, int readWriteAllocate) {}

    /** Memory attributes; the device type is 0 to 3: nGnRnE, nGnRE, nGRE, GRE. */
    public record Attributes(Type type, int device, Cacheability outer, Cacheability inner) {}

    /** What came of a walk; a fault if the cause is not null. */
    public record Outcome(
            Cause cause,
            int level,
            boolean stage2,
            boolean tableWalk,
            boolean tableWrite,
            long faultAddress,
            long address,
            int log2Size,
            Set<Right> rights,
            int mair,
            int shareability,
            boolean notGlobal) {}

    /** How one stage is configured. */
    public static final class Stage {
        public boolean second;
        public int pageBits;
        public int startLevel;
        public int inputBits;
        public int outputBits;
        public long base;
        public boolean upper;
        public boolean bigEndian;
        public boolean accessFlagDisabled;
        public boolean hierarchyDisabled;
        public boolean onePrivilege;
        public boolean wxn;
        public boolean pan;
        public boolean nonSecureOnly;
        /** FEAT_LPA, of a 64 KiB granule. */
        public boolean lpa;
        /** FEAT_LPA2, of other granules, and the shareability that goes with it. */
        public boolean ds;

        public int shareability;
        /** Address bits from here on are ignored, where descriptors have 48. */
        public int addressBits = 48;

        public boolean contiguousIgnored;
        /** Hardware update of the Access flag, and of the dirty state. */
        public boolean ha;

        public boolean hd;
        public boolean xnx;
        public boolean ptw;
        /** E0PD: unprivileged accesses fault before the walk. */
        public boolean noUnprivileged;

        /** FEAT_S2FWB. */
        public boolean forceWriteBack;

        public final int[] mair = new int[8];
        /** The stage 2 of a stage 1, or null. */
        public Stage over;
    }

    /** Attributes that an access has when it comes. */
    public record Incoming(Attributes attributes, int shareability) {}

    /** What is at an address: the eight bytes as a little-endian number, or null where nothing answers. */
    public interface Memory {
        Long read(long address, Stage stage, int level);

        void write(long address, long value);
    }

    /** A stage's own result, before it is combined with another. */
    private record Leaf(
            long output,
            int log2Size,
            Set<Right> rights,
            Attributes attributes,
            int memAttr,
            int shareability,
            boolean notGlobal) {}

    private static final class Fault extends Exception {
        private static final long serialVersionUID = 1;
        final Cause cause;
        final int level;
        final boolean stage2;
        boolean tableWalk;
        boolean tableWrite;
        final long address;

        Fault(Cause cause, int level, boolean stage2, long address) {
            super(null, null, false, false);
            this.cause = cause;
            this.level = level;
            this.stage2 = stage2;
            this.address = address;
        }
    }

    /** The architecture reserves an encoding that the walk met: what comes of it is not defined. */
    public static final class Reserved extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    private final Memory memory;

    public PlainWalk(Memory memory) {
        this.memory = memory;
    }

    Outcome translate(Stage first, long input, boolean privileged, boolean write, boolean instruction) {
        return translate(first, null, input, privileged, write, instruction);
    }

    /**
     * One stage, or two.
     *
     * @param incoming what comes with the access; null if that does not matter
     */
    public Outcome translate(
            Stage first, Incoming incoming, long input, boolean privileged, boolean write, boolean instruction) {
        try {
            // Writes are never instruction fetches.
            boolean fetch = instruction && !write;
            Leaf leaf = translateOneStage(first, input, privileged, write, fetch, false);
            if (incoming != null && first.second) {
                leaf = combine(
                        new Leaf(0, 64, leaf.rights, incoming.attributes, 0, incoming.shareability, false),
                        leaf,
                        first);
            }
            if (first.over != null) {
                Leaf below = translateOneStage(first.over, leaf.output, privileged, write, fetch, false);
                leaf = combine(leaf, below, first.over);
            }
            if (incoming != null && !first.second) {
                // Stage 2 passes hints on: those that came count even where it forces what had none.
                leaf = withHints(leaf, incoming.attributes);
            }
            return outcome(leaf);
        } catch (Fault f) {
            return outcome(f);
        }
    }

    /** Stage 2 for a structure that the unit itself reads. */
    public Outcome translateForStructure(Stage second, long input) {
        try {
            return outcome(translateOneStage(second, input, true, false, false, true));
        } catch (Fault f) {
            return outcome(f);
        }
    }

    private static Outcome outcome(Leaf leaf) {
        return new Outcome(
                null,
                0,
                false,
                false,
                false,
                0,
                leaf.output,
                leaf.log2Size,
                leaf.rights,
                encode(leaf.attributes),
                effectiveShareability(leaf.attributes, leaf.shareability),
                leaf.notGlobal);
    }

    private static Outcome outcome(Fault f) {
        return new Outcome(
                f.cause, f.level, f.stage2, f.tableWalk, f.tableWrite, f.address, 0, 0, Set.of(), 0, 0, false);
    }

    /** An access without stages that translate. */
    public static Outcome untranslated(Incoming incoming, long address) {
        return outcome(new Leaf(address, 12, Set.of(), incoming.attributes, 0, incoming.shareability, false));
    }

    private Leaf translateOneStage(
            Stage s, long input, boolean privileged, boolean write, boolean fetch, boolean forTable) throws Fault {
        Leaf leaf;
        do {
            leaf = tryToTranslate(s, input, privileged, write, fetch, forTable);
        } while (leaf == null);
        return leaf;
    }

    /** Returns null if the descriptor is no longer what it was when it is to be updated. */
    private Leaf tryToTranslate(Stage s, long input, boolean privileged, boolean write, boolean fetch, boolean forTable)
            throws Fault {
        // The input must lie in the half that the table translates: all bits above its size alike.
        for (int bit = s.inputBits; bit < 64; bit++) {
            if (bit(input, bit) != s.upper) {
                throw new Fault(Cause.TRANSLATION, s.startLevel, s.second, input);
            }
        }
        if (s.noUnprivileged && !privileged) {
            throw new Fault(Cause.TRANSLATION, s.startLevel, s.second, input);
        }
        // A table is aligned to its size; with addresses of 52 bits to 64 bytes at least.
        int bitsPerLevel = s.pageBits - 3;
        int lowest = s.pageBits + (3 - s.startLevel) * bitsPerLevel;
        int entries = 1;
        for (int bit = lowest; bit < s.inputBits; bit++) {
            entries = entries * 2;
        }
        long alignment = entries * 8L;
        if ((s.outputBits > 48 || s.ds) && alignment < 64) {
            alignment = 64;
        }
        long table = s.base / alignment * alignment;
        if (tooLarge(table, s.outputBits)) {
            throw new Fault(Cause.ADDRESS_SIZE, s.startLevel, s.second, input);
        }
        boolean tablesForbidUser = false;
        boolean tablesForbidWrites = false;
        boolean tablesForbidUserExecute = false;
        boolean tablesForbidKernelExecute = false;
        for (int level = s.startLevel; true; level++) {
            lowest = s.pageBits + (3 - level) * bitsPerLevel;
            int highest = level == s.startLevel ? s.inputBits - 1 : lowest + bitsPerLevel - 1;
            long entry = table + bits(input, highest, lowest) * 8;
            long address = entry;
            if (s.over != null) {
                try {
                    address = translateOneStage(s.over, entry, false, false, false, true).output;
                } catch (Fault f) {
                    f.tableWalk = true;
                    throw f;
                }
            }
            Long read = memory.read(address, s, level);
            if (read == null) {
                throw new Fault(Cause.EXTERNAL_ABORT, level, s.second, address);
            }
            long descriptor = s.bigEndian ? swapped(read) : read;
            boolean valid = bit(descriptor, 0);
            boolean bit1 = bit(descriptor, 1);
            boolean isPage = level == 3 && bit1;
            boolean blocksHere =
                    switch (s.pageBits) {
                        case 12 -> level == 0 && s.ds || level == 1 || level == 2;
                        case 14 -> level == 1 && s.ds || level == 2;
                        default -> level == 1 && s.lpa || level == 2;
                    };
            boolean isBlock = level != 3 && !bit1 && blocksHere;
            boolean isTable = level != 3 && bit1;
            if (!valid || !isPage && !isBlock && !isTable) {
                throw new Fault(Cause.TRANSLATION, level, s.second, input);
            }
            if (isTable) {
                table = address(s, descriptor, s.pageBits);
                if (tooLarge(table, s.outputBits)) {
                    throw new Fault(Cause.ADDRESS_SIZE, level, s.second, input);
                }
                if (s.nonSecureOnly && !bit(descriptor, 63)) {
                    throw new Fault(Cause.SECURITY, level, s.second, input);
                }
                if (!s.second && !s.hierarchyDisabled) {
                    tablesForbidUser |= bit(descriptor, 61);
                    tablesForbidWrites |= bit(descriptor, 62);
                    tablesForbidUserExecute |= bit(descriptor, 60);
                    tablesForbidKernelExecute |= bit(descriptor, 59);
                }
                continue;
            }
            long base = address(s, descriptor, lowest);
            if (tooLarge(base, s.outputBits)) {
                throw new Fault(Cause.ADDRESS_SIZE, level, s.second, input);
            }
            if (s.nonSecureOnly && !bit(descriptor, 5)) {
                throw new Fault(Cause.SECURITY, level, s.second, input);
            }
            if (!s.accessFlagDisabled && !s.ha && !bit(descriptor, 10)) {
                throw new Fault(Cause.ACCESS_FLAG, level, s.second, input);
            }
            // With hardware update of dirty state, DBM stands for write permission.
            boolean clean = s.ha && s.hd && bit(descriptor, 51) && bit(descriptor, 7) != s.second;
            long effective = clean ? s.second ? descriptor + power(7) : descriptor - power(7) : descriptor;
            Set<Right> rights = s.second
                    ? stage2Rights(s, effective)
                    : stage1Rights(
                            s,
                            effective,
                            tablesForbidUser,
                            tablesForbidWrites,
                            tablesForbidUserExecute,
                            tablesForbidKernelExecute);
            Right needed = fetch
                    ? privileged ? Right.KERNEL_EXECUTE : Right.USER_EXECUTE
                    : write
                            ? privileged ? Right.KERNEL_WRITE : Right.USER_WRITE
                            : privileged ? Right.KERNEL_READ : Right.USER_READ;
            if (!rights.contains(needed)) {
                throw new Fault(Cause.PERMISSION, level, s.second, input);
            }
            int memAttr = (int) bits(descriptor, 5, 2);
            Attributes attributes;
            if (!s.second) {
                attributes = decodeMair(s.mair[(int) bits(descriptor, 4, 2)]);
            } else if (s.forceWriteBack) {
                attributes = forced(decodeMair(0xff), memAttr);
            } else {
                attributes = decodeMemAttr(memAttr);
            }
            if (s.ptw && forTable && attributes.type == Type.DEVICE) {
                throw new Fault(Cause.PERMISSION, level, s.second, input);
            }
            int shareability = s.ds ? s.shareability : (int) bits(descriptor, 9, 8);
            if (shareability == 1) {
                throw new Reserved();
            }
            if (s.ha) {
                long updated = write ? effective : descriptor;
                if (!bit(updated, 10)) {
                    updated = updated + power(10);
                }
                if (updated != descriptor) {
                    if (s.over != null) {
                        try {
                            translateOneStage(s.over, entry, false, true, false, true);
                        } catch (Fault f) {
                            f.tableWalk = true;
                            f.tableWrite = true;
                            throw f;
                        }
                    }
                    if (!memory.read(address, s, level).equals(read)) {
                        return null;
                    }
                    memory.write(address, s.bigEndian ? swapped(updated) : updated);
                }
            }
            if (clean && !write) {
                rights.remove(Right.USER_WRITE);
                rights.remove(Right.KERNEL_WRITE);
            }
            int size = lowest;
            if (bit(descriptor, 52) && !s.contiguousIgnored && lowest + groupBits(s, level) <= s.inputBits) {
                int group = lowest + groupBits(s, level);
                boolean misprogrammed = bits(base, group - 1, lowest) != bits(input, group - 1, lowest);
                size = misprogrammed ? lowest : group;
            }
            return new Leaf(
                    base / power(size) * power(size) + bits(input, size - 1, 0),
                    size,
                    rights,
                    attributes,
                    memAttr,
                    shareability,
                    !s.second && bit(descriptor, 11));
        }
    }

    private static long address(Stage s, long descriptor, int lowest) {
        if (s.ds) {
            return bits(descriptor, 9, 8) * power(50) + bits(descriptor, 49, lowest) * power(lowest);
        }
        long address = bits(descriptor, s.addressBits - 1, lowest) * power(lowest);
        return s.lpa ? bits(descriptor, 15, 12) * power(48) + address : address;
    }

    /** 16 entries of 4 KiB granules; 32, at level 3 128, of 16 KiB; 32 of 64 KiB. */
    private static int groupBits(Stage s, int level) {
        if (s.pageBits == 12) {
            return level == 1 || level == 2 || level == 3 ? 4 : 0;
        }
        if (s.pageBits == 14) {
            return level == 2 ? 5 : level == 3 ? 7 : 0;
        }
        return level == 2 || level == 3 ? 5 : 0;
    }

    private static Set<Right> stage1Rights(
            Stage s, long leaf, boolean noUser, boolean noWrites, boolean noUserExecute, boolean noKernelExecute) {
        boolean kernelRead = true;
        boolean kernelWrite = !bit(leaf, 7) && !noWrites;
        boolean userRead;
        boolean userWrite;
        boolean userExecute;
        boolean kernelExecute;
        if (s.onePrivilege) {
            // One Exception level: everything about it, AP[1], APTable[0], PXN and PXNTable mean nothing.
            boolean execute = !bit(leaf, 54) && !noUserExecute && !(s.wxn && kernelWrite);
            userRead = true;
            userWrite = kernelWrite;
            userExecute = execute;
            kernelExecute = execute;
        } else {
            userRead = bit(leaf, 6) && !noUser;
            userWrite = userRead && kernelWrite;
            userExecute = !bit(leaf, 54) && !noUserExecute;
            kernelExecute = !bit(leaf, 53) && !noKernelExecute;
            if (userWrite) {
                kernelExecute = false;
            }
            if (s.wxn && userWrite) {
                userExecute = false;
            }
            if (s.wxn && kernelWrite) {
                kernelExecute = false;
            }
            if (s.pan && userRead) {
                kernelRead = false;
                kernelWrite = false;
            }
        }
        Set<Right> rights = EnumSet.noneOf(Right.class);
        put(rights, Right.USER_READ, userRead);
        put(rights, Right.USER_WRITE, userWrite);
        put(rights, Right.USER_EXECUTE, userExecute);
        put(rights, Right.KERNEL_READ, kernelRead);
        put(rights, Right.KERNEL_WRITE, kernelWrite);
        put(rights, Right.KERNEL_EXECUTE, kernelExecute);
        return rights;
    }

    private static Set<Right> stage2Rights(Stage s, long leaf) {
        boolean userExecute;
        boolean kernelExecute;
        switch ((int) bits(leaf, 54, 53)) {
            case 0 -> {
                userExecute = true;
                kernelExecute = true;
            }
            case 1 -> {
                userExecute = true;
                kernelExecute = !s.xnx;
            }
            case 2 -> {
                userExecute = false;
                kernelExecute = false;
            }
            default -> {
                userExecute = false;
                kernelExecute = s.xnx;
            }
        }
        Set<Right> rights = EnumSet.noneOf(Right.class);
        put(rights, Right.USER_READ, bit(leaf, 6));
        put(rights, Right.KERNEL_READ, bit(leaf, 6));
        put(rights, Right.USER_WRITE, bit(leaf, 7));
        put(rights, Right.KERNEL_WRITE, bit(leaf, 7));
        put(rights, Right.USER_EXECUTE, userExecute);
        put(rights, Right.KERNEL_EXECUTE, kernelExecute);
        return rights;
    }

    private static void put(Set<Right> rights, Right right, boolean granted) {
        if (granted) {
            rights.add(right);
        }
    }

    /** Allocation and transient hints that come with an access to Normal cacheable memory have a say (IHI 0070, 13.4.2). */
    private static Leaf withHints(Leaf leaf, Attributes incoming) {
        if (leaf.attributes.type == Type.DEVICE || incoming.type == Type.DEVICE) {
            return leaf;
        }
        Attributes attributes = new Attributes(
                Type.NORMAL,
                0,
                withHints(leaf.attributes.outer, incoming.outer),
                withHints(leaf.attributes.inner, incoming.inner));
        return new Leaf(leaf.output, leaf.log2Size, leaf.rights, attributes, 0, leaf.shareability, leaf.notGlobal);
    }

    private static Cacheability withHints(Cacheability leaf, Cacheability incoming) {
        if (leaf.cache == Cache.NON_CACHEABLE || incoming.cache == Cache.NON_CACHEABLE) {
            return leaf;
        }
        boolean read = leaf.readWriteAllocate / 2 == 1 && incoming.readWriteAllocate / 2 == 1;
        boolean write = leaf.readWriteAllocate % 2 == 1 && incoming.readWriteAllocate % 2 == 1;
        int hints = (read ? 2 : 0) + (write ? 1 : 0);
        return new Cacheability(leaf.cache, hints != 0 && (leaf.transientHint || incoming.transientHint), hints);
    }

    /** Memory type of a stage 2 that can force it (Arm ARM, D8.6.6). */
    private static Attributes forced(Attributes first, int memAttr) {
        boolean device = first.type == Type.DEVICE;
        if (memAttr / 4 % 2 == 0) {
            return new Attributes(Type.DEVICE, device ? Math.min(first.device, memAttr % 4) : memAttr % 4, null, null);
        }
        Cacheability none = new Cacheability(Cache.NON_CACHEABLE, false, 0);
        return switch (memAttr % 4) {
            case 3 -> first;
            case 2 ->
                new Attributes(
                        Type.NORMAL, 0, forced(device ? none : first.outer), forced(device ? none : first.inner));
            case 1 -> device ? first : new Attributes(Type.NORMAL, 0, none, none);
            default -> throw new Reserved();
        };
    }

    private static Cacheability forced(Cacheability first) {
        return first.cache == Cache.NON_CACHEABLE
                ? new Cacheability(Cache.WRITE_BACK, false, 3)
                : new Cacheability(Cache.WRITE_BACK, first.transientHint, first.readWriteAllocate);
    }

    private static Leaf combine(Leaf first, Leaf second, Stage stage2) {
        Set<Right> both = EnumSet.noneOf(Right.class);
        for (Right right : first.rights) {
            put(both, right, second.rights.contains(right));
        }
        Attributes a = first.attributes;
        Attributes b = second.attributes;
        Attributes combined;
        if (stage2.forceWriteBack) {
            combined = forced(a, second.memAttr);
        } else if (a.type == Type.DEVICE && b.type == Type.DEVICE) {
            combined = a.device < b.device ? a : b;
        } else if (a.type == Type.DEVICE) {
            combined = a;
        } else if (b.type == Type.DEVICE) {
            combined = b;
        } else {
            combined = new Attributes(Type.NORMAL, 0, weaker(a.outer, b.outer), weaker(a.inner, b.inner));
        }
        // Stage 2 may make cached what came uncached, and so Outer Shareable.
        int shareabilityBefore = effectiveShareability(a, first.shareability);
        int shareability;
        if (shareabilityBefore == 2 || second.shareability == 2) {
            shareability = 2;
        } else if (shareabilityBefore == 3 || second.shareability == 3) {
            shareability = 3;
        } else {
            shareability = 0;
        }
        int log2Size = first.log2Size < second.log2Size ? first.log2Size : second.log2Size;
        return new Leaf(second.output, log2Size, both, combined, 0, shareability, first.notGlobal);
    }

    /** Stage 2 has no say in the hints. */
    private static Cacheability weaker(Cacheability first, Cacheability second) {
        Cache cache = first.cache.compareTo(second.cache) < 0 ? first.cache : second.cache;
        return cache == Cache.NON_CACHEABLE
                ? new Cacheability(cache, false, 0)
                : new Cacheability(cache, first.transientHint, first.readWriteAllocate);
    }

    /** Device memory and what is cached nowhere is Outer Shareable, whatever the descriptor says. */
    private static int effectiveShareability(Attributes a, int shareability) {
        boolean uncached =
                a.type == Type.DEVICE || a.outer.cache == Cache.NON_CACHEABLE && a.inner.cache == Cache.NON_CACHEABLE;
        return uncached ? 2 : shareability;
    }

    private static Attributes decodeMair(int mair) {
        if (mair < 16) {
            return new Attributes(Type.DEVICE, mair / 4, null, null);
        }
        return new Attributes(Type.NORMAL, 0, decodeNibble(mair / 16), decodeNibble(mair % 16));
    }

    private static Cacheability decodeNibble(int nibble) {
        int hints = nibble % 4;
        return switch (nibble / 4) {
            case 0 -> new Cacheability(Cache.WRITE_THROUGH, true, hints);
            case 1 ->
                hints == 0
                        ? new Cacheability(Cache.NON_CACHEABLE, false, 0)
                        : new Cacheability(Cache.WRITE_BACK, true, hints);
            case 2 -> new Cacheability(Cache.WRITE_THROUGH, false, hints);
            default -> new Cacheability(Cache.WRITE_BACK, false, hints);
        };
    }

    private static Attributes decodeMemAttr(int memAttr) {
        if (memAttr < 4) {
            return new Attributes(Type.DEVICE, memAttr, null, null);
        }
        return new Attributes(Type.NORMAL, 0, decodeHalf(memAttr / 4), decodeHalf(memAttr % 4));
    }

    private static Cacheability decodeHalf(int half) {
        return switch (half) {
            case 1 -> new Cacheability(Cache.NON_CACHEABLE, false, 0);
            case 2 -> new Cacheability(Cache.WRITE_THROUGH, false, 3);
            case 3 -> new Cacheability(Cache.WRITE_BACK, false, 3);
            default -> throw new Reserved();
        };
    }

    private static int encode(Attributes a) {
        return a.type == Type.DEVICE ? a.device * 4 : encode(a.outer) * 16 + encode(a.inner);
    }

    private static int encode(Cacheability c) {
        return switch (c.cache) {
            case NON_CACHEABLE -> 4;
            case WRITE_THROUGH -> (c.transientHint ? 0 : 8) + c.readWriteAllocate;
            case WRITE_BACK -> (c.transientHint ? 4 : 12) + c.readWriteAllocate;
        };
    }

    private static boolean bit(long value, int number) {
        return (value >>> number) % 2 != 0;
    }

    /** Bits high to low of a value as a number; none if high is below low. */
    private static long bits(long value, int high, int low) {
        long result = 0;
        for (int number = high; number >= low; number--) {
            result = result * 2 + (bit(value, number) ? 1 : 0);
        }
        return result;
    }

    private static long power(int exponent) {
        long result = 1;
        for (int i = 0; i < exponent; i++) {
            result = result * 2;
        }
        return result;
    }

    private static boolean tooLarge(long address, int bits) {
        return address >= power(bits);
    }

    private static long swapped(long value) {
        LongUnaryOperator octet = n -> bits(value, (int) n * 8 + 7, (int) n * 8);
        long result = 0;
        for (int n = 0; n < 8; n++) {
            result = result * 256 + octet.applyAsLong(n);
        }
        return result;
    }
}
