package org.iommuemu.harness.nativedriver;

import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;
import org.iommuemu.harness.nativedriver.Rig.Kind;
import org.iommuemu.harness.nativedriver.Rig.Source;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.Translation;
import org.iommuemu.nativecode.Library;
import org.iommuemu.nativecode.driver.Via;
import org.iommuemu.pagetables.MappingException;
import org.iommuemu.probe.boot.IommuSetup;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.FaultReport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The same scenarios with drivers from everywhere: in Java, and in C over each way in that this JVM has. (There is no
 * java.lang.foreign before JDK 22; that is no missing tool, and {@link #foreignIsThereFromItsReleaseOn} looks at it.)
 */
class DriverScenariosTest {
    private static final long PAGE = Rig.PAGE;
    private static final long INPUT = Rig.INPUT;

    private static void needC(Source source) {
        if (source != Source.JAVA) {
            assumeTrue(Library.notMade("stubs/smmuv3.so").isEmpty(), () -> Library.notMade("stubs/smmuv3.so")
                    .orElseThrow());
        }
    }

    private static Rig rig(Kind kind, Source source) throws IOException {
        needC(source);
        return Rig.of(kind, source);
    }

    static Stream<Source> sources() {
        return Arrays.stream(Source.values())
                .filter(s -> s != Source.FFM || Via.FFM.unavailable().isEmpty());
    }

    static Stream<Arguments> drivers() {
        return Arrays.stream(Kind.values()).flatMap(kind -> sources().map(source -> Arguments.of(kind, source)));
    }

    static Stream<Arguments> driversInC() {
        return drivers().filter(d -> d.get()[1] != Source.JAVA);
    }

    @Test
    void foreignIsThereFromItsReleaseOn() {
        assertEquals(Runtime.version().feature() >= 22, Via.FFM.unavailable().isEmpty());
        assertEquals(Runtime.version().feature() >= 22 ? Via.FFM : Via.JNR, Via.fastest());
    }

    @ParameterizedTest
    @MethodSource("drivers")
    void probeBringsEveryUnitUp(Kind kind, Source source) throws IOException {
        try (Rig rig = rig(kind, source)) {
            IommuSetup.Outcome outcome = rig.boot();
            assertTrue(outcome.enabled(), rig.log.said::toString);
            long matching = rig.board.tree().nodes().stream()
                    .filter(node -> node.available() && rig.driver.matches(node))
                    .count();
            assertEquals(matching, rig.up().size());
            assertTrue(matching >= 2);
        }
    }

    @ParameterizedTest
    @MethodSource("sources")
    void cachesAreDeferredUntilTheirRootIsUp(Source source) throws IOException {
        try (Rig rig = rig(Kind.IPMMU, source)) {
            IommuSetup.Outcome outcome = rig.boot();
            List<List<Errno>> deferred = outcome.answers().values().stream()
                    .filter(answers -> answers.contains(Errno.EAGAIN))
                    .toList();
            assertEquals(6, deferred.size());
            deferred.forEach(answers -> assertEquals(List.of(Errno.EAGAIN, Errno.OK), answers));
            assertEquals(1, outcome.rounds());
        }
    }

    @ParameterizedTest
    @MethodSource("drivers")
    void anAttachedDeviceReachesWhatItsDomainMaps(Kind kind, Source source) throws IOException {
        try (Rig rig = rig(kind, source).booted()) {
            Device device = rig.device(kind.first);
            Domain domain = rig.domain(1);
            rig.assertDoesNotReach(device, INPUT, rig.ram(0));
            rig.attach(domain, device);
            rig.map(domain, INPUT, rig.ram(0), 4 * PAGE);
            for (int page = 0; page < 4; page++) {
                rig.assertReaches(device, INPUT + page * PAGE + 0x40, rig.ram(page * PAGE + 0x40));
                assertEquals(rig.ram(page * PAGE + 0x40), rig.resolve(domain, INPUT + page * PAGE + 0x40));
            }
            assertEquals(-1, rig.resolve(domain, INPUT + 4 * PAGE));
            assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT + 4 * PAGE));
        }
    }

    @ParameterizedTest
    @MethodSource("drivers")
    void whatIsUnmappedIsGoneAtOnceAlthoughItWasCached(Kind kind, Source source) throws IOException {
        try (Rig rig = rig(kind, source).booted()) {
            Device device = rig.device(kind.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            rig.map(domain, INPUT, rig.ram(0), 3 * PAGE);
            rig.assertReaches(device, INPUT + PAGE, rig.ram(PAGE));
            rig.unmap(domain, INPUT + PAGE, PAGE);
            assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT + PAGE));
            assertEquals(-1, rig.resolve(domain, INPUT + PAGE));
            rig.assertReaches(device, INPUT + 2 * PAGE, rig.ram(2 * PAGE));
            rig.map(domain, INPUT + PAGE, rig.ram(8 * PAGE), PAGE);
            rig.assertReaches(device, INPUT + PAGE, rig.ram(8 * PAGE));
        }
    }

    /** The host says what RAM a domain has, before and after a device came; whoever keeps the tables hears of it. */
    @ParameterizedTest
    @MethodSource("drivers")
    void ramOfADomainReachesTheTablesWhoeverKeepsThem(Kind kind, Source source) throws IOException {
        try (Rig rig = rig(kind, source).booted()) {
            Device device = rig.device(kind.first);
            Domain domain = rig.domain(1);
            domain.mapRam(INPUT, rig.ram(0), 2 * PAGE);
            rig.attach(domain, device);
            rig.assertReaches(device, INPUT + PAGE, rig.ram(PAGE));
            domain.mapRam(INPUT + 2 * PAGE, rig.ram(8 * PAGE), PAGE);
            rig.assertReaches(device, INPUT + 2 * PAGE, rig.ram(8 * PAGE));
            domain.unmap(INPUT, PAGE);
            assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT));
            rig.assertReaches(device, INPUT + PAGE, rig.ram(PAGE));
            // What a table cannot have is mapped nowhere.
            assertThrows(MappingException.class, () -> domain.mapRam(INPUT + PAGE, rig.ram(0), PAGE));
            rig.assertReaches(device, INPUT + PAGE, rig.ram(PAGE));
        }
    }

    /** Whoever unmaps may be in the middle of a burst of its own: the invalidation does not wait for that. */
    @ParameterizedTest
    @MethodSource("drivers")
    void anUnmapInsideOfABurstOfTheSameThreadEnds(Kind kind, Source source) throws IOException {
        try (Rig rig = rig(kind, source).booted()) {
            Device device = rig.device(kind.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            rig.map(domain, INPUT, rig.ram(0), PAGE);
            DmaPort port = rig.port(device);
            port.beginBurst();
            try {
                assertTrue(Translation.translated(port.translate(INPUT, true)));
                rig.unmap(domain, INPUT, PAGE);
                assertFalse(Translation.translated(port.translate(INPUT, true)));
            } finally {
                port.endBurst();
            }
        }
    }

    /** Interrupts are let in by another thread, as by a CPU that is not in the driver. */
    @ParameterizedTest
    @MethodSource("drivers")
    void aFaultIsReportedByInterrupt(Kind kind, Source source) throws Exception {
        try (Rig rig = rig(kind, source).booted()) {
            Device device = rig.device(kind.first);
            rig.attach(rig.domain(1), device);
            AtomicBoolean stop = new AtomicBoolean();
            Thread cpu = new Thread(() -> {
                while (!stop.get()) {
                    rig.board.interrupts().dispatch();
                    Thread.yield();
                }
            });
            cpu.start();
            try {
                for (int i = 0; i < 3; i++) {
                    long address = INPUT + i * PAGE;
                    assertEquals(DmaPort.Response.ABORT, rig.write(device, address));
                    int count = i + 1;
                    await().atMost(Duration.ofSeconds(20)).until(() -> rig.log.faults.size() == count);
                    FaultReport fault = rig.log.faults.get(i);
                    assertEquals(address, fault.address());
                    assertEquals(kind == Kind.SMMUV3 ? "F_TRANSLATION" : "TF", fault.fault());
                    assertEquals(
                            kind == Kind.SMMUV3 ? (long) device.fwspec().ids().get(0) : -1, fault.streamId());
                }
            } finally {
                stop.set(true);
                cpu.join();
            }
            // Acknowledged in the unit: nothing comes again.
            assertEquals(0, rig.board.interrupts().dispatch());
            assertFalse(rig.log.has("storm"));
        }
    }

    @ParameterizedTest
    @MethodSource("driversInC")
    void aRemovedUnitNoLongerTranslates(Kind kind, Source source) throws IOException {
        try (Rig rig = rig(kind, source).booted()) {
            Device device = rig.device(kind.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            rig.map(domain, INPUT, rig.ram(0), PAGE);
            rig.assertReaches(device, INPUT, rig.ram(0));
            assertEquals(Errno.OK, rig.nativeDriver().remove(device.fwspec().iommu()), rig.log.said::toString);
            // Its ports forget what they had with the next invalidation; a new one has nothing.
            rig.assertDoesNotReach(device, INPUT, rig.ram(0));
        }
    }

    @ParameterizedTest
    @MethodSource("drivers")
    void devicesBehindTwoUnitsShareADomain(Kind kind, Source source) throws IOException {
        try (Rig rig = rig(kind, source).booted()) {
            Device one = rig.device(kind.first);
            Device two = rig.device(kind.second);
            DeviceTreeNode unit = one.fwspec().iommu();
            assertFalse(unit == two.fwspec().iommu());
            Domain domain = rig.domain(1);
            rig.attach(domain, one);
            rig.attach(domain, two);
            rig.map(domain, INPUT, rig.ram(0), 2 * PAGE);
            rig.assertReaches(one, INPUT, rig.ram(0));
            rig.assertReaches(two, INPUT, rig.ram(0));
            rig.unmap(domain, INPUT, PAGE);
            assertEquals(DmaPort.Response.ABORT, rig.write(one, INPUT));
            assertEquals(DmaPort.Response.ABORT, rig.write(two, INPUT));
            rig.assertReaches(two, INPUT + PAGE, rig.ram(PAGE));
        }
    }

    @ParameterizedTest
    @MethodSource("drivers")
    void twoDomainsDoNotSeeEachOther(Kind kind, Source source) throws IOException {
        try (Rig rig = rig(kind, source).booted()) {
            rig.assertDomainsAreApart(kind);
        }
    }

    @ParameterizedTest
    @MethodSource("drivers")
    void destroyingDomainsGivesEverythingBack(Kind kind, Source source) throws IOException {
        try (Rig rig = rig(kind, source).booted()) {
            Device one = rig.device(kind.first);
            Device two = rig.device(kind.second);
            long before = rig.heap.taken();
            for (int round = 1; round <= 20; round++) {
                Domain domain = rig.domain(round);
                rig.attach(domain, one);
                rig.attach(domain, two);
                rig.map(domain, INPUT, rig.ram(0), PAGE);
                rig.assertReaches(one, INPUT, rig.ram(0));
                rig.iommus.destroy(domain);
                assertEquals(before, rig.heap.taken());
                rig.assertDoesNotReach(two, INPUT, rig.ram(0));
            }
        }
    }
}
