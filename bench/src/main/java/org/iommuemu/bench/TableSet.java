package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.util.stream.IntStream;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.TableWalk;
import org.iommuemu.pagetables.TableWriter;
import org.iommuemu.pagetables.Tlb;
import org.iommuemu.pagetables.WalkResult;

/**
 * Four-level tables of a 4 KiB granule for 48 bits in which {@link #PAGES} pages map to one another in one cycle, at stage
 * 1 and at stage 2, and an identity stage 2 of pages, so that a nested walk takes all its 24 loads.
 */
final class TableSet {
    static final int PAGES = 512;
    static final long PAGE = 4096;
    /** The pages; no RAM is there, as nothing reads what they translate to. */
    static final long INPUT = 0x1234_5600_0000L;

    private static final long RAM = 0x8000_0000L;
    private static final int RAM_BYTES = 4 << 20;
    private static final TableWriter.Geometry GEOMETRY = new TableWriter.Geometry(Granule.KIB_4, 0, 48, 48);
    private static final long STAGE1_RAM = Descriptor.AF | 3L << Descriptor.SH_SHIFT | Descriptor.AP_UNPRIVILEGED;

    final PhysicalMemory memory = new PhysicalMemory();
    final TableWalk stage1;
    final TableWalk stage2;
    final TableWalk nested;
    final TableWalk nestedCached;
    private final long stage1Root;

    TableSet() {
        memory.addRam(RAM, RAM_BYTES);
        BumpAllocator allocator = new BumpAllocator(memory, RAM, RAM_BYTES);
        int[] next = Chain.cycle(PAGES);
        TableWriter first = writer(memory, allocator);
        TableWriter second = writer(memory, allocator);
        TableWriter identity = writer(memory, allocator);
        for (int i = 0; i < PAGES; i++) {
            // Page by page: a writer would make blocks of what is contiguous.
            first.map(INPUT + i * PAGE, INPUT + next[i] * PAGE, PAGE, STAGE1_RAM);
            second.map(INPUT + i * PAGE, INPUT + next[i] * PAGE, PAGE, Descriptor.STAGE2_RAM);
            identity.map(INPUT + i * PAGE, INPUT + i * PAGE, PAGE, Descriptor.STAGE2_RAM);
        }
        for (long page = RAM; page < RAM + RAM_BYTES; page += PAGE) {
            identity.map(page, page, PAGE, Descriptor.STAGE2_RAM);
        }
        stage1Root = first.root();
        stage1 = TableWalk.stage1(memory, Granule.KIB_4, first.root(), 48, 48)
                .mair(0xff)
                .build();
        stage2 = TableWalk.stage2(memory, Granule.KIB_4, second.root(), 48, 48, 0)
                .build();
        nested = TableWalk.stage1(memory, Granule.KIB_4, first.root(), 48, 48)
                .mair(0xff)
                .over(TableWalk.stage2(memory, Granule.KIB_4, identity.root(), 48, 48, 0)
                        .build())
                .build();
        nestedCached = TableWalk.stage1(memory, Granule.KIB_4, first.root(), 48, 48)
                .mair(0xff)
                .over(TableWalk.stage2(memory, Granule.KIB_4, identity.root(), 48, 48, 0)
                        .cached(new Tlb(SmmuRig.TLB), 1)
                        .build())
                .build();
    }

    static TableWriter writer(PhysicalMemory memory, BumpAllocator allocator) {
        return new TableWriter(memory, allocator, GEOMETRY, (input, size) -> {});
    }

    /** The C loop over the stage 1 table, from the first page. */
    long reference(Reference reference, ByteBuffer image, int steps) {
        return reference.loops.walk(image, RAM, stage1Root, INPUT, steps);
    }

    /** The C loop over the stage 1 table with a cached stage 2, from the first page. */
    long referenceCached(Reference reference, ByteBuffer image, ByteBuffer sets) {
        return reference.loops.nestedWalk(image, RAM, stage1Root, sets, INPUT, Chain.STEPS);
    }

    /** The identity stage 2 for C, in an array of the geometry of {@link SmmuRig#TLB}. */
    ByteBuffer identity() {
        long[] pages = new long[RAM_BYTES / (int) PAGE + PAGES];
        for (int i = 0; i < pages.length; i++) {
            pages[i] = i < PAGES ? INPUT + i * PAGE : RAM + (i - PAGES) * PAGE;
        }
        int[] same = IntStream.range(0, pages.length).toArray();
        return Chain.sets(pages, same, SmmuRig.TLB.sets() * SmmuRig.TLB.ways());
    }

    /** RAM as the C loop takes it. */
    ByteBuffer image() {
        return Reference.image(memory, RAM, RAM_BYTES);
    }

    /** The Java walk, from the first page. */
    static long chain(TableWalk walk) {
        return chain(walk, INPUT);
    }

    /** The Java walk, {@link Chain#STEPS} steps on. */
    static long chain(TableWalk walk, long from) {
        long input = from;
        for (int i = 0; i < Chain.STEPS; i++) {
            long result = walk.walk(input, Access.READ);
            if (WalkResult.isFault(result)) {
                throw new IllegalStateException("fault at 0x%x: 0x%x".formatted(input, result));
            }
            input = Translation.address(result, input);
        }
        return input;
    }
}
