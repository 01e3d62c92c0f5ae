package org.iommuemu.probe.boot;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.TreeBuilder;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.IommuDriver;
import org.iommuemu.probe.iommu.IommuOps;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.Platform;
import org.iommuemu.probe.iommu.ProbeAnswer;
import org.junit.jupiter.api.Test;

/** The rules of Xen's iommu_setup and iommu_hardware_setup, with drivers that answer as they are told. */
class IommuSetupTest {
    private static final String PANIC = "Couldn't configure correctly all the IOMMUs.";

    /** Answers by a function of the node and the how-manieth time it is asked, from 1. */
    static final class ScriptedDriver implements IommuDriver, IommuOps {
        interface Script {
            ProbeAnswer answer(int node, int time);
        }

        private final Script script;
        final List<Integer> asked = new ArrayList<>();
        private final Map<Integer, Integer> times = new HashMap<>();
        final Set<DeviceTreeNode> up = new LinkedHashSet<>();

        ScriptedDriver(Script script) {
            this.script = script;
        }

        @Override
        public String name() {
            return "scripted";
        }

        @Override
        public boolean matches(DeviceTreeNode node) {
            return node.isCompatible("test,iommu");
        }

        @Override
        public ProbeAnswer probe(DeviceTreeNode node) {
            int number = number(node);
            asked.add(number);
            ProbeAnswer answer = script.answer(number, times.merge(number, 1, Integer::sum));
            if (answer.errno() == Errno.OK) {
                up.add(node);
            }
            return answer;
        }

        @Override
        public IommuOps ops() {
            return this;
        }

        @Override
        public Errno dtXlate(Device device, List<Integer> args) {
            return Errno.OK;
        }

        @Override
        public Errno addDevice(Device device) {
            return Errno.OK;
        }

        @Override
        public Errno assignDevice(Domain domain, Device device) {
            return Errno.OK;
        }

        @Override
        public Errno deassignDevice(Domain domain, Device device) {
            return Errno.OK;
        }

        @Override
        public void iotlbFlush(Domain domain, long address, long size) {}

        @Override
        public void teardown(Domain domain) {}
    }

    static final class Lines implements Log {
        private final List<String> lines = new ArrayList<>();

        @Override
        public void say(Level level, String subsystem, String text) {
            lines.add(level + " " + text);
        }

        @Override
        public void fault(FaultReport fault) {}
    }

    private final Lines log = new Lines();

    private static int number(DeviceTreeNode node) {
        return Integer.parseInt(node.name().substring("iommu@".length()));
    }

    /** A tree of IOMMUs numbered in tree order from 0, among nodes that are none. */
    private static DeviceTree tree(int iommus) {
        TreeBuilder tree = TreeBuilder.tree().begin("cpus").end();
        for (int i = 0; i < iommus; i++) {
            tree.begin("iommu@" + i).strings("compatible", "test,iommu").end();
        }
        tree.begin("iommu@999999")
                .strings("compatible", "test,iommu")
                .strings("status", "disabled")
                .end();
        return tree.parse();
    }

    static IommuSetup setup(Log log, DeviceTree tree, ScriptedDriver driver, ProbeFailures failures) {
        Platform platform = new Platform(new Bus(new PhysicalMemory()), new InterruptController(), null, tree, log, 48);
        return new IommuSetup(platform, driver == null ? List.of() : List.of(driver), new Iommus(platform), failures);
    }

    private IommuSetup setup(DeviceTree tree, ScriptedDriver driver, ProbeFailures failures) {
        return setup(log, tree, driver, failures);
    }

    private IommuSetup setup(int iommus, ScriptedDriver.Script script) {
        return setup(tree(iommus), new ScriptedDriver(script), new ProbeFailures());
    }

    static IommuOptions options(String line) {
        return IommuOptions.parse(line);
    }

    private static ProbeAnswer ok() {
        return new ProbeAnswer.Initialised();
    }

    private static ProbeAnswer again() {
        return ProbeAnswer.of(Errno.EAGAIN, "waiting");
    }

    private static String panicOf(IommuSetup setup, String line) {
        return assertThrows(Panic.class, () -> setup.run(options(line))).getMessage();
    }

    @Test
    void scenario1NoDriverBuiltInIsNoPanic() {
        IommuSetup.Outcome outcome = setup(tree(3), null, new ProbeFailures()).run(options(""));
        assertEquals(Errno.ENODEV, outcome.rc());
        assertFalse(outcome.enabled());
    }

    @Test
    void scenario2ADriverThatAnswersEnodevIsNoPanic() {
        IommuSetup.Outcome outcome = setup(3, (node, time) -> ProbeAnswer.of(Errno.ENODEV, "no P2M sharing"))
                .run(options(""));
        assertEquals(Errno.ENODEV, outcome.rc());
        assertFalse(outcome.enabled());
    }

    @Test
    void scenario3IommuOffIsNoPanicAndAsksNobody() {
        ScriptedDriver driver = new ScriptedDriver((node, time) -> ok());
        IommuSetup.Outcome outcome = setup(tree(3), driver, new ProbeFailures()).run(options("iommu=0"));
        assertFalse(outcome.enabled());
        assertEquals(List.of(), driver.asked);
        assertEquals(Map.of(), outcome.answers());
    }

    @Test
    void scenario4DeferralUntilTheLastNodeThenAllComeUp() {
        List<Integer> up = new ArrayList<>();
        IommuSetup setup = setup(7, (node, time) -> {
            if (node < 6 && !up.contains(6)) {
                return again();
            }
            up.add(node);
            return ok();
        });
        IommuSetup.Outcome outcome = setup.run(options(""));
        assertTrue(outcome.enabled());
        assertEquals(1, outcome.rounds());
        // The last to be deferred is the first of the list.
        assertEquals(List.of(6, 5, 4, 3, 2, 1, 0), up);
        outcome.answers().forEach((node, answers) -> {
            if (node.isCompatible("test,iommu")) {
                assertEquals(number(node) == 6 ? List.of(Errno.OK) : List.of(Errno.EAGAIN, Errno.OK), answers);
            } else {
                assertEquals(List.of(Errno.EBADF), answers);
            }
        });
    }

    @Test
    void scenario5AFailureAtTheVeryBeginningIsAPanic() {
        ScriptedDriver driver = new ScriptedDriver((node, time) -> ProbeAnswer.of(Errno.ENOMEM, ""));
        IommuSetup setup = setup(tree(3), driver, new ProbeFailures());
        assertEquals(PANIC, panicOf(setup, ""));
        assertEquals(Errno.ENOMEM, setup.outcome().rc());
        assertEquals(List.of(0), driver.asked, "any other error stops at once");
    }

    @Test
    void scenario5AFailureWhenPartOfTheDevicesAreUpIsAPanic() {
        IommuSetup setup = setup(3, (node, time) -> node == 2 ? ProbeAnswer.of(Errno.EIO, "") : ok());
        assertEquals(PANIC, panicOf(setup, ""));
        assertFalse(setup.outcome().enabled(), "never part of a system");
    }

    @Test
    void scenario6ADriverThatAlwaysDefersIsAPanic() {
        IommuSetup none = setup(3, (node, time) -> again());
        assertEquals(PANIC, panicOf(none, ""));
        assertEquals(Errno.EAGAIN, none.outcome().rc());
        assertEquals(0, none.outcome().rounds(), "nothing came up: no round is run");

        IommuSetup one = setup(3, (node, time) -> node == 1 ? again() : ok());
        assertEquals(PANIC, panicOf(one, ""));
        assertEquals(Errno.EAGAIN, one.outcome().rc());
        assertEquals(1, one.outcome().rounds(), "a round that initialises none is the last");
    }

    @Test
    void scenario6AnotherErrorAfterDeferralIsAPanic() {
        IommuSetup setup =
                setup(3, (node, time) -> node == 2 ? ok() : time == 1 ? again() : ProbeAnswer.of(Errno.ENXIO, ""));
        assertEquals(PANIC, panicOf(setup, ""));
        assertEquals(Errno.ENXIO, setup.outcome().rc());
    }

    @Test
    void enodevOfADeferredNodeStopsWithoutAPanic() {
        IommuSetup setup =
                setup(2, (node, time) -> node == 1 ? ok() : time == 1 ? again() : ProbeAnswer.of(Errno.ENODEV, ""));
        IommuSetup.Outcome outcome = setup.run(options(""));
        assertEquals(Errno.ENODEV, outcome.rc());
        assertFalse(outcome.enabled());
    }

    @Test
    void forceIsAPanicWheneverVirtualisationIsOff() {
        String message = "Couldn't enable IOMMU and iommu=required/force";
        assertEquals(message, panicOf(setup(tree(1), null, new ProbeFailures()), "iommu=force"));
        assertEquals(message, panicOf(setup(1, (node, time) -> ok()), "iommu=force,off"));
        assertTrue(setup(1, (node, time) -> ok()).run(options("iommu=required")).enabled());
    }

    @Test
    void aForcedAnswerAppliesToItsProbeOnly() {
        DeviceTree tree = tree(2);
        ProbeFailures failures = new ProbeFailures();
        failures.add(new ProbeFailures.Failure(tree.node("/iommu@0").orElseThrow(), Errno.EAGAIN, 1));
        IommuSetup.Outcome outcome =
                setup(tree, new ScriptedDriver((node, time) -> ok()), failures).run(options(""));
        assertTrue(outcome.enabled());
        assertEquals(
                List.of(Errno.EAGAIN, Errno.OK),
                outcome.answers().get(tree.node("/iommu@0").orElseThrow()));
    }

    @Test
    void aDisabledNodeIsNotAsked() {
        ScriptedDriver driver = new ScriptedDriver((node, time) -> ok());
        setup(tree(1), driver, new ProbeFailures()).run(options(""));
        assertEquals(List.of(0), driver.asked);
    }

    @Test
    void anExternalAbortInAProbeIsAnErrorOfThatProbe() {
        DeviceTree tree = tree(1);
        Bus bus = new Bus(new PhysicalMemory());
        IommuSetup setup = setup(
                tree,
                new ScriptedDriver((node, time) -> {
                    bus.read32(0x1000);
                    return ok();
                }),
                new ProbeFailures());
        assertEquals(PANIC, panicOf(setup, ""));
        assertEquals(Errno.EFAULT, setup.outcome().rc());
    }

    @Test
    void unknownWordsWarn() {
        setup(1, (node, time) -> ok()).run(options("iommu=verbose,frobnicate iommu=,x"));
        assertEquals(
                List.of("frobnicate", "", "x"),
                options("iommu=verbose,frobnicate iommu=,x").unknown());
        assertTrue(log.lines.contains("WARNING unknown word in iommu=: \"frobnicate\""), log.lines::toString);
    }

    /** A driver whose node i waits for the node that {@code supplier} gives, and names it or not. */
    static final class ChainDriver {
        private final Function<Integer, Integer> supplier;
        private final boolean named;
        final DeviceTree tree;
        final ScriptedDriver driver;

        ChainDriver(int length, boolean named, Function<Integer, Integer> supplier) {
            this.supplier = supplier;
            this.named = named;
            tree = tree(length);
            driver = new ScriptedDriver(this::answer);
        }

        private ProbeAnswer answer(int node, int time) {
            Integer wanted = supplier.apply(node);
            if (wanted == null
                    || driver.up.contains(tree.node("/iommu@" + wanted).orElseThrow())) {
                return ok();
            }
            DeviceTreeNode waitsFor = tree.node("/iommu@" + wanted).orElseThrow();
            return new ProbeAnswer.Deferred(named ? waitsFor : null, "chain");
        }
    }

    /** The last node needs nothing; the first waits for it, and every other one for its predecessor. */
    private static Function<Integer, Integer> worstChain(int n) {
        return i -> i == n - 1 ? null : i == 0 ? (Integer) (n - 1) : (Integer) (i - 1);
    }

    @Test
    void tenThousandNodesInTheWorstOrderTakeARoundANodeButTwoProbesANode() {
        int n = 10_000;
        ChainDriver chain = new ChainDriver(n, true, worstChain(n));
        IommuSetup.Outcome outcome =
                setup(chain.tree, chain.driver, new ProbeFailures()).run(options(""));
        assertTrue(outcome.enabled());
        assertEquals(n - 1, outcome.rounds());
        assertEquals(2 * n - 1, chain.driver.asked.size());
    }

    @Test
    void tenThousandNodesThatWaitForTheLastTakeOneRound() {
        int n = 10_000;
        ChainDriver chain = new ChainDriver(n, true, i -> i == n - 1 ? null : (Integer) (n - 1));
        IommuSetup.Outcome outcome =
                setup(chain.tree, chain.driver, new ProbeFailures()).run(options(""));
        assertEquals(1, outcome.rounds());
        assertEquals(2 * n - 1, chain.driver.asked.size());
    }

    @Test
    void tenThousandNodesEachOfWhichWaitsForTheNextTakeOneRound() {
        int n = 10_000;
        ChainDriver chain = new ChainDriver(n, true, i -> i == n - 1 ? null : (Integer) (i + 1));
        IommuSetup.Outcome outcome =
                setup(chain.tree, chain.driver, new ProbeFailures()).run(options(""));
        assertEquals(1, outcome.rounds());
        assertEquals(2 * n - 1, chain.driver.asked.size());
    }

    @Test
    void aDriverThatDoesNotSayWhatItWaitsForIsAskedInEveryRound() {
        int n = 100;
        ChainDriver chain = new ChainDriver(n, false, worstChain(n));
        IommuSetup.Outcome outcome =
                setup(chain.tree, chain.driver, new ProbeFailures()).run(options(""));
        assertEquals(n - 1, outcome.rounds());
        assertEquals(n + n * (n - 1) / 2, chain.driver.asked.size());
    }

    @Test
    void aDriverThatNamesTheWrongNodeIsAskedAllTheSame() {
        DeviceTree tree = tree(3);
        DeviceTreeNode neverUp = tree.node("/cpus").orElseThrow();
        ScriptedDriver driver = new ScriptedDriver(
                (node, time) -> node == 2 || time == 2 ? ok() : new ProbeAnswer.Deferred(neverUp, "wrong"));
        IommuSetup.Outcome outcome = setup(tree, driver, new ProbeFailures()).run(options(""));
        assertTrue(outcome.enabled());
    }
}
