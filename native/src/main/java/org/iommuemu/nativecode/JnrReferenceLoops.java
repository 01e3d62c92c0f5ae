package org.iommuemu.nativecode;

import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import jnr.ffi.LibraryLoader;
import jnr.ffi.annotations.In;
import jnr.ffi.types.u_int64_t;

/** Over jnr-ffi: C functions are the methods of an interface that it implements. */
final class JnrReferenceLoops implements ReferenceLoops {
    /** The C functions. Public, as the class that implements it is another loader's. */
    public interface Functions {
        /** See {@code iommu_emu_reference.h}. */
        @u_int64_t
        long iommu_emu_reference_look_up(
                @In ByteBuffer sets, @u_int64_t long setCount, @u_int64_t long input, @u_int64_t long count);

        /** See {@code iommu_emu_reference.h}. */
        @u_int64_t
        long iommu_emu_reference_walk(
                @In ByteBuffer image,
                @u_int64_t long size,
                @u_int64_t long base,
                @u_int64_t long root,
                @u_int64_t long input,
                @u_int64_t long count);

        /** See {@code iommu_emu_reference.h}. */
        @u_int64_t
        long iommu_emu_reference_nested_walk(
                @In ByteBuffer image,
                @u_int64_t long size,
                @u_int64_t long base,
                @u_int64_t long root,
                @In ByteBuffer sets,
                @u_int64_t long setCount,
                @u_int64_t long input,
                @u_int64_t long count);

        /** See {@code iommu_emu_reference.h}. */
        @u_int64_t
        long iommu_emu_reference_load(
                @In ByteBuffer words, @u_int64_t long size, @u_int64_t long offset, @u_int64_t long count);

        /** See {@code iommu_emu_reference.h}. */
        @u_int64_t
        long iommu_emu_reference_read(
                @In ByteBuffer registers, @u_int64_t long size, @u_int64_t long offset, @u_int64_t long count);

        /** See {@code iommu_emu_reference.h}. */
        @u_int64_t
        long iommu_emu_reference_decode(
                @In ByteBuffer commands, @u_int64_t long size, @u_int64_t long first, @u_int64_t long count);
    }

    private final Functions functions;

    JnrReferenceLoops(Path library) {
        functions = LibraryLoader.create(Functions.class).failImmediately().load(library.toString());
    }

    @Override
    public long lookUp(ByteBuffer sets, long input, long count) {
        ByteBuffer whole = Arguments.whole(sets, count);
        try {
            return functions.iommu_emu_reference_look_up(whole, Arguments.setCount(whole), input, count);
        } finally {
            Reference.reachabilityFence(sets);
        }
    }

    @Override
    public long walk(ByteBuffer image, long base, long root, long input, long count) {
        ByteBuffer whole = Arguments.whole(image, count);
        try {
            return functions.iommu_emu_reference_walk(whole, whole.capacity(), base, root, input, count);
        } finally {
            Reference.reachabilityFence(image);
        }
    }

    @Override
    public long nestedWalk(ByteBuffer image, long base, long root, ByteBuffer sets, long input, long count) {
        ByteBuffer whole = Arguments.whole(image, count);
        ByteBuffer wholeSets = Arguments.whole(sets, count);
        try {
            return functions.iommu_emu_reference_nested_walk(
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
            return functions.iommu_emu_reference_load(whole, whole.capacity(), offset, count);
        } finally {
            Reference.reachabilityFence(words);
        }
    }

    @Override
    public long read(ByteBuffer registers, long offset, long count) {
        ByteBuffer whole = Arguments.whole(registers, count);
        try {
            return functions.iommu_emu_reference_read(whole, whole.capacity(), offset, count);
        } finally {
            Reference.reachabilityFence(registers);
        }
    }

    @Override
    public long decode(ByteBuffer commands, long first, long count) {
        ByteBuffer whole = Arguments.whole(commands, count);
        try {
            return functions.iommu_emu_reference_decode(whole, whole.capacity(), first, count);
        } finally {
            Reference.reachabilityFence(commands);
        }
    }

    @Override
    public String toString() {
        return "jnr-ffi";
    }
}
