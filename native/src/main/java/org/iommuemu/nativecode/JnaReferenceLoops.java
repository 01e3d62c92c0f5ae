package org.iommuemu.nativecode;

import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.file.Path;

/** Over JNA with direct mapping: C functions are bound to the native methods of a class. */
final class JnaReferenceLoops implements ReferenceLoops {
    /** The C functions; {@code uint64_t} is {@code long}. */
    private static final class Functions {
        static native long iommu_emu_reference_look_up(ByteBuffer sets, long setCount, long input, long count);

        static native long iommu_emu_reference_walk(
                ByteBuffer image, long size, long base, long root, long input, long count);

        static native long iommu_emu_reference_nested_walk(
                ByteBuffer image,
                long size,
                long base,
                long root,
                ByteBuffer sets,
                long setCount,
                long input,
                long count);

        static native long iommu_emu_reference_load(ByteBuffer words, long size, long offset, long count);

        static native long iommu_emu_reference_read(ByteBuffer registers, long size, long offset, long count);

        static native long iommu_emu_reference_decode(ByteBuffer commands, long size, long first, long count);
    }

    private static boolean bound;

    JnaReferenceLoops(Path library) {
        bind(library);
    }

    private static synchronized void bind(Path library) {
        if (!bound) {
            Native.register(Functions.class, NativeLibrary.getInstance(library.toString()));
            bound = true;
        }
    }

    @Override
    public long lookUp(ByteBuffer sets, long input, long count) {
        ByteBuffer whole = Arguments.whole(sets, count);
        try {
            return Functions.iommu_emu_reference_look_up(whole, Arguments.setCount(whole), input, count);
        } finally {
            Reference.reachabilityFence(sets);
        }
    }

    @Override
    public long walk(ByteBuffer image, long base, long root, long input, long count) {
        ByteBuffer whole = Arguments.whole(image, count);
        try {
            return Functions.iommu_emu_reference_walk(whole, whole.capacity(), base, root, input, count);
        } finally {
            Reference.reachabilityFence(image);
        }
    }

    @Override
    public long nestedWalk(ByteBuffer image, long base, long root, ByteBuffer sets, long input, long count) {
        ByteBuffer whole = Arguments.whole(image, count);
        ByteBuffer wholeSets = Arguments.whole(sets, count);
        try {
            return Functions.iommu_emu_reference_nested_walk(
                    whole, whole.capacity(), base, root, wholeSets, Arguments.setCount(wholeSets), input, count);
        } finally {
            Reference.reachabilityFence(image);
            Reference.reachabilityFence(sets);
        }
    }

    @Override
    public long load(ByteBuffer words, long offset, long count) {
        ByteBuffer whole = Arguments.whole(words, count);
        try {
            return Functions.iommu_emu_reference_load(whole, whole.capacity(), offset, count);
        } finally {
            Reference.reachabilityFence(words);
        }
    }

    @Override
    public long read(ByteBuffer registers, long offset, long count) {
        ByteBuffer whole = Arguments.whole(registers, count);
        try {
            return Functions.iommu_emu_reference_read(whole, whole.capacity(), offset, count);
        } finally {
            Reference.reachabilityFence(registers);
        }
    }

    @Override
    public long decode(ByteBuffer commands, long first, long count) {
        ByteBuffer whole = Arguments.whole(commands, count);
        try {
            return Functions.iommu_emu_reference_decode(whole, whole.capacity(), first, count);
        } finally {
            Reference.reachabilityFence(commands);
        }
    }

    @Override
    public String toString() {
        return "JNA";
    }
}
