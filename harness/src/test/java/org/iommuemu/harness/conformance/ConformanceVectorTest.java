package org.iommuemu.harness.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.Latency;
import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.smmuv3.Timing;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The conformance cases of {@code vectors/}, see the README there. */
class ConformanceVectorTest {
    static final Path VECTORS = Path.of("src", "test", "resources", "vectors");

    /** The hardware that drivers meet may cache much, little or nothing: the outcomes are the same, or permitted ones. */
    private enum Caches {
        ORDINARY(TlbGeometry.of(512, 4), DmaPort.MICRO_TLB),
        NONE(
                TlbGeometry.of(1, 1).with(TlbGeometry.Replacement.NEVER_CACHE),
                TlbGeometry.of(1, 1).with(TlbGeometry.Replacement.NEVER_CACHE)),
        ONE_ENTRY(TlbGeometry.of(1, 1), TlbGeometry.of(1, 1)),
        FOR_EVER(
                TlbGeometry.of(1024, 8).with(TlbGeometry.Replacement.CACHE_FOR_EVER),
                TlbGeometry.of(64, 64).with(TlbGeometry.Replacement.CACHE_FOR_EVER));

        private final TlbGeometry tlb;
        private final TlbGeometry microTlb;

        Caches(TlbGeometry tlb, TlbGeometry microTlb) {
            this.tlb = tlb;
            this.microTlb = microTlb;
        }
    }

    @ParameterizedTest
    @EnumSource
    void allPass(Caches caches) throws ConformanceException, IOException {
        allPass(caches, Timing.IMMEDIATE);
    }

    @Test
    void allPassWithCommandsThatTakeAWhile() throws ConformanceException, IOException {
        Timing late = Timing.IMMEDIATE.synchronisation(Latency.reads(2));
        allPass(Caches.ORDINARY, late);
        allPass(Caches.ORDINARY, late.onUnitThread());
        allPass(Caches.ORDINARY, Timing.IMMEDIATE.onUnitThread());
    }

    private static void allPass(Caches caches, Timing timing) throws ConformanceException, IOException {
        ConformanceReport report = new Conformance(List.of(VECTORS)).run(false, caches.tlb, caches.microTlb, timing);
        assertEquals("", report.failures().stream().map(Object::toString).collect(Collectors.joining("\n")));
        assertEquals(488, report.passed());
        assertEquals(24, report.categories().size());
        assertEquals(0, report.skipped());
    }

    /** Otherwise the cases would pass whatever the model does. */
    @Test
    void differencesFromQemuAreSeen() throws ConformanceException, IOException {
        ConformanceReport report = new Conformance(List.of(VECTORS)).run(true);
        assertTrue(report.failed() > 50, report::toString);
        assertTrue(report.failures().stream()
                .allMatch(failure -> failure.step() >= 0
                        && !failure.what().isBlank()
                        && failure.what().lines().count() == 1));
    }
}
