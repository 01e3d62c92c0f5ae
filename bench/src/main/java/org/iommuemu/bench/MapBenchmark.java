package org.iommuemu.bench;

import java.util.concurrent.TimeUnit;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** Mapping many pages and unmapping them again, without the cost of invalidations: per page or block. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class MapBenchmark {
    private static final long RAM = 0x8000_0000L;
    private static final int RAM_BYTES = 64 << 20;
    private static final long PAGE = 4096;
    private static final long BLOCK = 2 << 20;

    // The first page and block stay mapped, so that there are tables. Outputs that are a page off keep blocks of 2 MiB
    // away where there shall be none, those that are a block off keep blocks of 1 GiB away.
    private static final long INPUT = 0x1000_0000_0000L;
    private static final long OUTPUT = 0x2000_0000_0000L;
    private static final long MIXED_INPUT = INPUT + 2 * BLOCK;

    /** Of a block and pages, 1 MiB of them. */
    private static final int MIXED = 257;

    /** 4 KiB, 2 MiB, or both: ranges of 3 MiB, which are a block and 256 pages. */
    @Param({"4KiB", "2MiB", "mixed"})
    public String size;

    /** Pages and blocks together. */
    @Param({"1", "1000", "1000000"})
    public int pages;

    private TableWriter writer;

    /** Makes an empty table. */
    @Setup
    public void setUp() {
        PhysicalMemory memory = new PhysicalMemory();
        memory.addRam(RAM, RAM_BYTES);
        writer = TableSet.writer(memory, new BumpAllocator(memory, RAM, RAM_BYTES));
        writer.map(INPUT, OUTPUT, size.equals("2MiB") ? BLOCK : PAGE, Descriptor.STAGE2_RAM);
    }

    /** All of them mapped, then all unmapped; per page. */
    @Benchmark
    @Figure(flatIn = "pages", perEach = "pages")
    public TableWriter mapAndUnmap() {
        switch (size) {
            case "4KiB" -> both(INPUT + PAGE, OUTPUT, pages * PAGE);
            case "2MiB" -> both(INPUT + BLOCK, OUTPUT, pages * BLOCK);
            default -> {
                mixed(true);
                mixed(false);
            }
        }
        return writer;
    }

    private void both(long input, long output, long bytes) {
        writer.map(input, output, bytes, Descriptor.STAGE2_RAM);
        writer.unmap(input, bytes);
    }

    private void mixed(boolean map) {
        long offset = 0;
        for (int left = pages; left > 0; left -= MIXED) {
            long bytes = BLOCK + (Math.min(left, MIXED) - 1) * PAGE;
            if (map) {
                writer.map(MIXED_INPUT + offset, OUTPUT + offset, bytes, Descriptor.STAGE2_RAM);
            } else {
                writer.unmap(MIXED_INPUT + offset, bytes);
            }
            offset += 2 * BLOCK;
        }
    }
}
