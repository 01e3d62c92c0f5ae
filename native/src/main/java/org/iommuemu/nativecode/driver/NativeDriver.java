package org.iommuemu.nativecode.driver;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import org.iommuemu.mmio.Invalidations;
import org.iommuemu.pagetables.MappingException;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.IommuDriver;
import org.iommuemu.probe.iommu.IommuOps;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.OwnTables;
import org.iommuemu.probe.iommu.Platform;
import org.iommuemu.probe.iommu.ProbeAnswer;

/**
 * A driver in C that stands where a driver in Java can. Its operations run one after the other on a thread of their own, so
 * that one that does not return can be given up: it, and all later ones, then answer ETIMEDOUT. A driver whose process ended
 * answers EIO. What happened is in the log, with what the driver did last.
 */
public final class NativeDriver implements IommuDriver, IommuOps, OwnTables, AutoCloseable {
    /** How long an operation may take where nothing else is said. */
    public static final Duration TIMEOUT = Duration.ofSeconds(10);

    /** As many domains as a driver in its own process can know at a time. */
    private static final int MAX_DOMAINS = 4096;

    private final Platform platform;
    private final Log log;
    private final DriverCalls calls;
    private final DriverHost host;
    private final BoardImage image;
    private final Duration timeout;
    private final ExecutorService executor;
    private volatile Thread thread;

    private final Map<Device, Long> masters = new IdentityHashMap<>();
    private final Map<Domain, Long> domains = new IdentityHashMap<>();
    private final BitSet domainNumbers = new BitSet();

    /** What all operations answer since the driver is lost; null while it is there. */
    private volatile Errno lost;

    private volatile String lastWords = "";

    /** What the emulator found wrong with an operation, whatever the driver returned; null if nothing. */
    private volatile String failure;

    NativeDriver(Platform platform, SharedRam ram, DriverCalls calls, Duration timeout) {
        this.platform = platform;
        this.log = platform.log();
        this.calls = calls;
        this.timeout = timeout;
        image = new BoardImage(platform.tree(), ram.banks());
        host = new DriverHost(platform, calls.name(), this::irq);
        executor = Executors.newSingleThreadExecutor(body -> {
            thread = new Thread(body, "driver " + calls.name());
            thread.setDaemon(true);
            host.onThread(thread);
            return thread;
        });
    }

    BoardImage image() {
        return image;
    }

    DriverHost host() {
        return host;
    }

    /** Lets the driver get to know the machine. */
    void open() {
        Errno rc = call(Operation.OPEN);
        if (rc != Errno.OK) {
            close();
            throw new NativeDriverException(
                    "driver %s: open answers %s%s".formatted(name(), rc, lost == null ? "" : ": " + lastWords));
        }
    }

    @Override
    public String name() {
        return calls.name();
    }

    @Override
    public boolean matches(DeviceTreeNode node) {
        return calls.compatible().stream().anyMatch(node::isCompatible);
    }

    /** What it drives. */
    public List<String> compatible() {
        return List.copyOf(calls.compatible());
    }

    @Override
    public ProbeAnswer probe(DeviceTreeNode node) {
        failure = null;
        Errno rc = call(Operation.PROBE, image.number(node));
        return ProbeAnswer.of(rc, lost != null ? lastWords : failure != null ? failure : "the driver says so");
    }

    /** Why the driver is lost, empty while it is there. */
    public Optional<String> lost() {
        return lost == null ? Optional.empty() : Optional.of(lastWords);
    }

    @Override
    public IommuOps ops() {
        return this;
    }

    @Override
    public Optional<OwnTables> ownTables() {
        return calls.sharesTables() ? Optional.empty() : Optional.of(this);
    }

    @Override
    public Errno dtXlate(Device device, List<Integer> args) {
        if (args.size() != 1) {
            return Errno.EINVAL;
        }
        device.fwspec().addId(args.get(0));
        return Errno.OK;
    }

    @Override
    public Errno addDevice(Device device) {
        if (device.isProtected()) {
            return Errno.EEXIST;
        }
        long number = masters.size();
        List<Integer> ids = device.fwspec().ids();
        long[] arguments = new long[3 + ids.size()];
        arguments[0] = number;
        arguments[1] = image.number(device.node());
        arguments[2] = image.number(device.fwspec().iommu());
        for (int i = 0; i < ids.size(); i++) {
            arguments[3 + i] = ids.get(i);
        }
        masters.put(device, number);
        Errno rc = call(Operation.ADD_DEVICE, arguments);
        if (rc == Errno.OK) {
            device.setProtected(true);
        }
        return rc;
    }

    @Override
    public Errno assignDevice(Domain domain, Device device) {
        Long known = domains.get(domain);
        long number = known != null ? known : domainNumbers.nextClearBit(0);
        if (number >= MAX_DOMAINS) {
            return Errno.ENOSPC;
        }
        domains.put(domain, number);
        domainNumbers.set((int) number);
        boolean shares = calls.sharesTables();
        // Looked up before the driver, which may write where it should not, has a hand in it.
        List<Range> ranges = shares || known != null ? List.of() : ranges(domain);
        Errno rc = call(
                Operation.ATTACH,
                number,
                masters.get(device),
                domain.id(),
                shares ? domain.ioP2m().ipaBits() : 0,
                shares ? domain.ioP2m().startLevel() : 0,
                shares ? domain.ioP2m().root() : 0);
        if (rc == Errno.OK) {
            rc = mapAll(domain, ranges);
            if (rc != Errno.OK) {
                deassignDevice(domain, device);
            }
        }
        if (rc != Errno.OK && known == null) {
            teardown(domain); // Nobody else will: it has no device here.
        }
        return rc;
    }

    private record Range(long guestPhysical, long machine, long size) {}

    /** The RAM that a domain has. */
    private static List<Range> ranges(Domain domain) {
        List<Range> ranges = new ArrayList<>();
        domain.forEachRun((guestPhysical, machine, size) -> ranges.add(new Range(guestPhysical, machine, size)));
        return ranges;
    }

    private Errno mapAll(Domain domain, List<Range> ranges) {
        Errno rc = Errno.OK;
        for (Range range : ranges) {
            rc = rc == Errno.OK ? map(domain, range.guestPhysical, range.machine, range.size, READ | WRITE) : rc;
        }
        return rc;
    }

    @Override
    public void mapPages(Domain domain, long guestPhysical, long machine, long size) {
        if (calls.sharesTables() || !domains.containsKey(domain)) {
            return;
        }
        Errno rc = map(domain, guestPhysical, machine, size, READ | WRITE);
        if (rc != Errno.OK) {
            report(Operation.MAP, rc);
            throw new MappingException(
                    switch (rc) {
                        case ENOMEM -> MappingException.Reason.OUT_OF_MEMORY;
                        case EBUSY, EEXIST -> MappingException.Reason.OVERLAP;
                        default -> MappingException.Reason.INPUT_SIZE;
                    },
                    guestPhysical,
                    size);
        }
    }

    @Override
    public void unmapPages(Domain domain, long guestPhysical, long size) {
        if (!calls.sharesTables() && domains.containsKey(domain)) {
            report(Operation.UNMAP, call(Operation.UNMAP, domains.get(domain), guestPhysical, size));
        }
    }

    @Override
    public Errno deassignDevice(Domain domain, Device device) {
        return call(Operation.DETACH, domains.get(domain), masters.get(device));
    }

    @Override
    public Errno map(Domain domain, long iova, long physical, long size, int protection) {
        Long number = domains.get(domain);
        return number == null
                ? Errno.EINVAL
                : call(Operation.MAP, number, iova, physical, size, protection & (READ | WRITE));
    }

    @Override
    public long unmap(Domain domain, long iova, long size) {
        Long number = domains.get(domain);
        return number != null && call(Operation.UNMAP, number, iova, size) == Errno.OK ? size : 0;
    }

    @Override
    public long iovaToPhys(Domain domain, long iova) {
        Long number = domains.get(domain);
        return number != null && call(Operation.IOVA_TO_PHYS, number, iova) == Errno.OK ? calls.found() : -1;
    }

    @Override
    public void iotlbFlush(Domain domain, long address, long size) {
        Long number = domains.get(domain);
        if (number != null) {
            report(Operation.FLUSH, call(Operation.FLUSH, number, address, size));
        }
    }

    /** The ABI has no such operation: the system must not go to sleep. */
    @Override
    public Errno suspend() {
        return Errno.EOPNOTSUPP;
    }

    @Override
    public void teardown(Domain domain) {
        Long number = domains.remove(domain);
        if (number != null) {
            report(Operation.RELEASE, call(Operation.RELEASE, number));
            domainNumbers.clear(number.intValue());
        }
    }

    /** Switches a unit off. */
    public Errno remove(DeviceTreeNode node) {
        return call(Operation.REMOVE, image.number(node));
    }

    private void irq(int number) {
        report(Operation.IRQ, call(Operation.IRQ, number));
    }

    /** Whoever asked cannot be told. */
    private void report(Operation operation, Errno rc) {
        if (rc != Errno.OK && lost == null) {
            log.error(name(), "%s answers %s".formatted(operation, rc));
        }
    }

    /** Closes the driver: its units stay as they are, its interrupts and RAM are given back. */
    @Override
    public void close() {
        if (executor.isShutdown()) {
            return;
        }
        call(Operation.CLOSE);
        calls.end();
        host.close();
        executor.shutdown();
    }

    /** Makes a call on the driver's thread; on it already (in a delay), there and then. */
    private Errno call(Operation operation, long... arguments) {
        if (lost != null) {
            return lost;
        }
        if (Thread.currentThread() == thread) {
            return run(operation, arguments);
        }
        Future<Errno> answer = executor.submit(() -> run(operation, arguments));
        // A burst of the caller's must not keep the driver from completing an invalidation.
        return Invalidations.whileWaiting(() -> await(answer, operation, arguments));
    }

    private Errno await(Future<Errno> answer, Operation operation, long[] arguments) {
        boolean interrupted = false;
        long end = System.nanoTime() + timeout.toNanos();
        try {
            while (true) {
                try {
                    return timeout.isZero() ? answer.get() : answer.get(end - System.nanoTime(), TimeUnit.NANOSECONDS);
                } catch (InterruptedException e) {
                    interrupted = true;
                } catch (TimeoutException e) {
                    return hangs(operation, arguments);
                } catch (ExecutionException e) {
                    throw new IllegalStateException(describe(operation, arguments), e.getCause());
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** On the driver's thread. An interrupt inside of an operation leaves alone what is wrong with that one. */
    private Errno run(Operation operation, long[] arguments) {
        String outer = host.takeWrong();
        int[] rc = new int[1];
        try {
            if (operation == Operation.IRQ) {
                IOException[] failed = new IOException[1];
                host.inIrq(() -> {
                    try {
                        rc[0] = calls.call(operation, arguments);
                    } catch (IOException e) {
                        failed[0] = e;
                    }
                });
                if (failed[0] != null) {
                    throw failed[0];
                }
            } else {
                rc[0] = calls.call(operation, arguments);
            }
        } catch (IOException e) {
            return gone(operation, arguments, e);
        }
        String wrong = host.takeWrong();
        if (outer != null) {
            host.restoreWrong(outer);
        }
        if (wrong != null) {
            failed("%s fails: %s".formatted(describe(operation, arguments), wrong));
            return Errno.EFAULT;
        }
        return operation == Operation.CLOSE ? Errno.OK : errno(operation, arguments, rc[0]);
    }

    private Errno errno(Operation operation, long[] arguments, int rc) {
        Optional<Errno> known = rc <= 0 ? Errno.byNumber(-rc) : Optional.empty();
        if (known.isEmpty()) {
            failed("%s returned %d, which is neither 0 nor a negative error number: taken for EIO"
                    .formatted(describe(operation, arguments), rc));
        }
        return known.orElse(Errno.EIO);
    }

    private void failed(String words) {
        failure = words;
        log.error(name(), words);
    }

    private Errno hangs(Operation operation, long[] arguments) {
        lost = Errno.ETIMEDOUT; // First of all, so that its thread does not take what follows for the end of the
        // driver.
        host.abandon();
        tell("%s has not returned for %d ms; the driver is given up; %s; it did last: %s"
                .formatted(describe(operation, arguments), timeout.toMillis(), calls.abandon(), host.lastSteps()));
        return lost;
    }

    private Errno gone(Operation operation, long[] arguments, IOException how) {
        if (lost == null) { // Not because it was given up.
            lost = Errno.EIO;
            tell("the driver is gone in %s: %s; it did last: %s"
                    .formatted(describe(operation, arguments), how.getMessage(), host.lastSteps()));
        }
        return lost;
    }

    private void tell(String words) {
        lastWords = words;
        log.error(name(), words);
    }

    private static String describe(Operation operation, long[] arguments) {
        return operation
                + Arrays.stream(arguments).mapToObj("0x%x"::formatted).collect(Collectors.joining(", ", "(", ")"));
    }
}
