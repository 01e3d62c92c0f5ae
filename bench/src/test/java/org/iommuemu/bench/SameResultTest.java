package org.iommuemu.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Arrays;
import java.util.List;
import org.iommuemu.nativecode.ReferenceLoops;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is compared does the same work: Java and C end a chain at the same place. */
class SameResultTest {
    private final Reference reference = new Reference();

    @BeforeEach
    void loadReference() {
        String reason = ReferenceLoops.unavailable().orElse("");
        assumeTrue(reason.isEmpty(), reason);
        reference.setUp();
    }

    @Test
    void walks() {
        WalkBenchmark benchmark = new WalkBenchmark();
        benchmark.setUp();
        long expected = benchmark.reference(reference);
        assertNotEquals(ReferenceLoops.FAULT, expected);
        assertEquals(expected, benchmark.stage1());
        assertEquals(expected, benchmark.stage2());
        NestedWalkBenchmark nested = new NestedWalkBenchmark();
        nested.setUp();
        assertNotEquals(ReferenceLoops.FAULT, nested.reference(reference));
        assertEquals(expected, nested.nested());
        assertEquals(expected, nested.referenceCached(reference));
        assertEquals(expected, nested.cached());
    }

    @ParameterizedTest
    @ValueSource(ints = {64, 4096})
    void lookUps(int pages) {
        TlbBenchmark benchmark = new TlbBenchmark();
        benchmark.pages = pages;
        benchmark.setUp();
        assertNotEquals(ReferenceLoops.FAULT, benchmark.reference(reference));
        assertEquals(benchmark.reference(reference), benchmark.lookUp());
    }

    @Test
    void registerReads() {
        RegisterBenchmark benchmark = new RegisterBenchmark();
        benchmark.setUp();
        benchmark.write();
        assertNotEquals(ReferenceLoops.FAULT, benchmark.reference(reference));
        assertEquals(benchmark.reference(reference), benchmark.read());
    }

    @ParameterizedTest
    @ValueSource(ints = {16384, 1048576})
    void memoryReads(int bytes) {
        MemoryBenchmark inC = new MemoryBenchmark();
        MemoryBenchmark inJava = new MemoryBenchmark();
        inC.bytes = bytes;
        inJava.bytes = bytes;
        inC.setUp();
        inJava.setUp();
        for (int i = 0; i < 5; i++) {
            long expected = inC.reference(reference);
            assertNotEquals(ReferenceLoops.FAULT, expected);
            assertEquals(expected, inJava.read64());
        }
    }

    @Test
    void hits() {
        MicroTlbBenchmark micro = new MicroTlbBenchmark();
        micro.setUp();
        assertNotEquals(ReferenceLoops.FAULT, micro.reference(reference));
        assertEquals(micro.reference(reference), micro.hit());
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 64})
    void hitsOfStreams(int streams) {
        MainTlbBenchmark benchmark = new MainTlbBenchmark();
        benchmark.streams = streams;
        benchmark.setUp();
        assertNotEquals(ReferenceLoops.FAULT, benchmark.reference(reference));
        assertEquals(benchmark.reference(reference), benchmark.hit());
    }

    @Test
    void coldWalks() {
        ColdWalkBenchmark inC = new ColdWalkBenchmark();
        ColdWalkBenchmark inJava = new ColdWalkBenchmark();
        inC.mebibytes = 1;
        inJava.mebibytes = 1;
        inC.setUp();
        inJava.setUp();
        ColdWalkBenchmark.Image image = new ColdWalkBenchmark.Image();
        image.setUp(inC);
        for (int i = 0; i < 5; i++) {
            long expected = inC.reference(image, reference);
            assertNotEquals(ReferenceLoops.FAULT, expected);
            assertEquals(expected, inJava.stage1());
        }
    }

    @Test
    void misses() {
        MissBenchmark inC = new MissBenchmark();
        MissBenchmark inJava = new MissBenchmark();
        inC.setUp();
        inJava.setUp();
        MissBenchmark.Image image = new MissBenchmark.Image();
        image.setUp(inC);
        for (int i = 0; i < 5; i++) {
            long expected = inC.reference(image, reference);
            assertNotEquals(ReferenceLoops.FAULT, expected);
            assertEquals(expected, inJava.walkAndFill());
        }
    }

    @ParameterizedTest
    @CsvSource({"smmuv3, 64", "smmuv3, 1024", "ipmmu, 64", "ipmmu, 1024", "smmuv3, 65536", "ipmmu, 65536"})
    void sharedTables(String unit, int pages) {
        SharedTableBenchmark inC = new SharedTableBenchmark();
        SharedTableBenchmark inJava = new SharedTableBenchmark();
        for (SharedTableBenchmark benchmark : List.of(inC, inJava)) {
            benchmark.unit = unit;
            benchmark.pages = pages;
            benchmark.setUp();
        }
        long expected = inC.reference(reference);
        assertNotEquals(ReferenceLoops.FAULT, expected);
        assertEquals(expected, inJava.translate());
    }

    @Test
    void commandsAreOnesThatCDecodes() {
        CommandQueueBenchmark benchmark = new CommandQueueBenchmark();
        benchmark.setUp();
        assertNotEquals(ReferenceLoops.FAULT, benchmark.reference(reference));
        benchmark.consumed();
        benchmark.writtenAndConsumed();
    }

    @ParameterizedTest
    @ValueSource(ints = {16384, 131072})
    void aConfigurationMissMeetsEveryStream(int streams) {
        ConfigurationMissBenchmark benchmark = new ConfigurationMissBenchmark();
        benchmark.streams = streams;
        benchmark.setUp();
        int met = 0;
        int stream = 0;
        do {
            stream = benchmark.translate();
            met += Chain.STEPS;
        } while (stream != 0);
        assertEquals(streams, met);
    }

    @Test
    void aCycleMeetsEveryElement() {
        int[] next = Chain.cycle(1000);
        boolean[] met = new boolean[1000];
        int at = 0;
        for (int i = 0; i < 1000; i++) {
            assertEquals(false, met[at]);
            met[at] = true;
            at = next[at];
        }
        assertEquals(0, at);
        assertEquals(1000, Arrays.stream(next).distinct().count());
    }
}
