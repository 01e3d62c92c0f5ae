package org.iommuemu.probe.boot;

import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;
import org.iommuemu.mmio.BusError;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.IommuDriver;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.Platform;
import org.iommuemu.probe.iommu.ProbeAnswer;

/**
 * Brings the IOMMUs up, as Xen on Arm does (iommu_setup in passthrough/iommu.c, iommu_hardware_setup in
 * passthrough/arm/iommu.c, device_init in common/device.c):
 *
 * <ul>
 *   <li>Every available node is offered to the drivers in tree order. EBADF (no IOMMU) and ENODEV (cannot be used) are
 *       skipped, EAGAIN defers the node, any other error stops at once.
 *   <li>The deferred nodes are run in rounds, the last deferred first, as Xen's list has it. A round that initialises none
 *       ends with EAGAIN; an error other than EAGAIN stops.
 *   <li>I/O virtualisation is on only if nothing failed and at least one IOMMU came up: never part of a system.
 * </ul>
 *
 * <p><b>What the rounds cost.</b> Xen asks every deferred node in every round: with n nodes of which each waits for the
 * one behind it in the list that is n rounds and n²/2 probes. Here a driver may name the node that it waits for, and is
 * not asked again before that one is up; the answer could not be another. The rounds, and what comes up in which, stay
 * the same, and n nodes cost at most 2n probes. If nothing that can be asked is left, all deferred nodes are asked once
 * more before it ends with EAGAIN, so that a driver that named the wrong node changes nothing.
 */
public final class IommuSetup {
    private static final String SUBSYSTEM = "iommu";

    /**
     * What came of it.
     *
     * @param rc OK, or the error
     * @param enabled whether I/O virtualisation is on
     * @param rounds how many rounds of the deferred list were run
     * @param answers by node that was offered, in tree order: what was answered each time
     */
    public record Outcome(Errno rc, boolean enabled, int rounds, Map<DeviceTreeNode, List<Errno>> answers) {}

    /** A deferred node; its position in Xen's list decides when its turn comes in a round. */
    private record Waiter(int position, DeviceTreeNode node) {}

    /** A position behind all turns: what comes up while the tree is read lets nobody be asked before the first round. */
    private static final int FIRST_PASS = Integer.MAX_VALUE;

    private final Platform platform;
    private final List<IommuDriver> drivers;
    private final Iommus iommus;
    private final ProbeFailures failures;
    private final Log log;

    private final Map<DeviceTreeNode, List<Errno>> answers = new LinkedHashMap<>();

    /** Deferred nodes to be asked in the next round. */
    private NavigableMap<Integer, Waiter> ready = new TreeMap<>();

    /** Deferred nodes that are not asked before another node is up, by that node. */
    private final Map<DeviceTreeNode, List<Waiter>> waiting = new IdentityHashMap<>();

    /** Nodes on the deferred list. */
    private int listed;

    /** IOMMUs that came up. */
    private int up;

    private int rounds;
    private Errno rc = Errno.OK;
    private boolean enabled;

    /**
     * A setup that has not run.
     *
     * @param drivers the drivers built in, in the order in which they are tried
     * @param iommus gets to know what comes up
     */
    public IommuSetup(Platform platform, List<IommuDriver> drivers, Iommus iommus, ProbeFailures failures) {
        this.platform = platform;
        this.drivers = drivers;
        this.iommus = iommus;
        this.failures = failures;
        this.log = platform.log();
    }

    /**
     * Runs it (Xen iommu_setup and its caller, start_xen).
     *
     * @throws Panic if I/O virtualisation could not be enabled where it had to be; {@link #outcome} tells the rest
     */
    public Outcome run(IommuOptions options) {
        options.unknown().forEach(word -> log.warning(SUBSYSTEM, "unknown word in iommu=: \"" + word + '"'));
        platform.setSharePt(options.sharePt());
        rc = options.enable() ? hardwareSetup() : Errno.ENODEV;
        enabled = options.enable() && rc == Errno.OK;
        if (options.force() && !enabled) {
            throw new Panic("Couldn't enable IOMMU and iommu=required/force");
        }
        log.info(SUBSYSTEM, "I/O virtualisation " + (enabled ? "enabled" : "disabled"));
        if (enabled) {
            if (options.dom0Passthrough()) {
                log.warning(SUBSYSTEM, "dom0-passthrough is ignored: on Arm domain 0 is translated like any guest");
            }
            // check_hwdom_reqs: an auto-translated hardware domain is always strict.
            log.info(SUBSYSTEM, " - Dom0 mode: Strict");
        }
        if (!enabled && rc != Errno.ENODEV) {
            throw new Panic("Couldn't configure correctly all the IOMMUs.");
        }
        return outcome();
    }

    /** What has come of it so far; after a {@link Panic}, what had come of it before. */
    public Outcome outcome() {
        return new Outcome(rc, enabled, rounds, answers);
    }

    private Errno hardwareSetup() {
        for (DeviceTreeNode node : platform.tree().nodes()) {
            if (!node.available() || node.has("xen,passthrough")) {
                continue;
            }
            ProbeAnswer answer = deviceInit(node);
            if (answer instanceof ProbeAnswer.Initialised) {
                cameUp(node, FIRST_PASS, ready);
            } else if (answer instanceof ProbeAnswer.Deferred deferred) {
                // Xen's list grows at its head: what is deferred later is asked earlier.
                defer(new Waiter(-listed++, node), deferred);
            } else if (answer instanceof ProbeAnswer.Failed failed) {
                return failed.errno();
            }
        }
        if (up == 0) {
            return listed == 0 ? Errno.ENODEV : Errno.EAGAIN;
        }
        while (listed > 0) {
            log.info(SUBSYSTEM, "round %d: %d deferred".formatted(++rounds, listed));
            int before = up;
            NavigableMap<Integer, Waiter> round = ready;
            ready = new TreeMap<>();
            Errno error = run(round);
            if (error == Errno.OK && up == before) {
                waiting.values().forEach(waiters -> waiters.forEach(w -> round.put(w.position, w)));
                waiting.clear();
                error = run(round);
            }
            if (error != Errno.OK) {
                return error;
            }
            if (up == before) {
                return Errno.EAGAIN;
            }
        }
        return Errno.OK;
    }

    /** Asks the nodes of a round, and those that can be asked because of what comes up in it. */
    private Errno run(NavigableMap<Integer, Waiter> round) {
        while (!round.isEmpty()) {
            Waiter waiter = round.pollFirstEntry().getValue();
            ProbeAnswer answer = deviceInit(waiter.node);
            if (answer instanceof ProbeAnswer.Initialised) {
                listed--;
                cameUp(waiter.node, waiter.position, round);
            } else if (answer instanceof ProbeAnswer.Deferred deferred) {
                defer(waiter, deferred);
            } else {
                return answer.errno(); // Of a deferred node, EBADF and ENODEV stop as well.
            }
        }
        return Errno.OK;
    }

    /** Lets those that waited for a node be asked: in this round if their turn is still to come, else in the next. */
    private void cameUp(DeviceTreeNode node, int position, NavigableMap<Integer, Waiter> round) {
        up++;
        for (Waiter waiter : waiting.getOrDefault(node, List.of())) {
            (waiter.position > position ? round : ready).put(waiter.position, waiter);
        }
        waiting.remove(node);
    }

    private void defer(Waiter waiter, ProbeAnswer.Deferred answer) {
        DeviceTreeNode supplier = answer.waitsFor();
        if (supplier == null || iommus.isRegistered(supplier)) {
            ready.put(waiter.position, waiter);
        } else {
            waiting.computeIfAbsent(supplier, s -> new ArrayList<>()).add(waiter);
        }
    }

    private ProbeAnswer deviceInit(DeviceTreeNode node) {
        for (IommuDriver driver : drivers) {
            if (driver.matches(node)) {
                List<Errno> given = answers.computeIfAbsent(node, n -> new ArrayList<>());
                ProbeAnswer answer = failures.forced(node, given.size() + 1);
                if (answer == null) {
                    answer = probe(driver, node);
                }
                given.add(answer.errno());
                tell(driver, node, answer);
                if (answer instanceof ProbeAnswer.Initialised) {
                    iommus.register(node, driver.ops());
                }
                return answer;
            }
        }
        answers.put(node, List.of(Errno.EBADF));
        return new ProbeAnswer.NotAnIommu();
    }

    private static ProbeAnswer probe(IommuDriver driver, DeviceTreeNode node) {
        try {
            return driver.probe(node);
        } catch (BusError abort) {
            return new ProbeAnswer.Failed(Errno.EFAULT, abort.getMessage());
        }
    }

    private void tell(IommuDriver driver, DeviceTreeNode node, ProbeAnswer answer) {
        String what = node.path() + ": " + answer.errno();
        if (answer instanceof ProbeAnswer.Initialised) {
            log.info(driver.name(), what);
        } else if (answer instanceof ProbeAnswer.Deferred deferred) {
            log.info(driver.name(), what + ", deferred: " + deferred.why());
        } else if (answer instanceof ProbeAnswer.Unusable unusable) {
            log.warning(driver.name(), what + ", skipped: " + unusable.why());
        } else if (answer instanceof ProbeAnswer.Failed failed) {
            log.error(driver.name(), what + ": " + failed.why());
        } else {
            log.warning(driver.name(), what + ", skipped");
        }
    }
}
