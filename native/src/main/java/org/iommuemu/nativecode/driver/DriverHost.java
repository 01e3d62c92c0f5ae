package org.iommuemu.nativecode.driver;

import java.lang.invoke.VarHandle;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Pattern;
import org.iommuemu.mmio.BusError;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.pagetables.PageAllocator;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.Platform;

/**
 * What a driver asks for, whichever way it came in; {@code struct iommu_emu_host} says what each function does. Nothing is
 * ever thrown into C: a bus error, or a bug of ours, waits for the operation that is under way to return.
 */
final class DriverHost {
    /** Handles an interrupt that the driver requested. */
    interface IrqHandler {
        void handle(int number);
    }

    private static final Log.Level[] LEVELS = Log.Level.values();
    private static final Pattern CONTROLS = Pattern.compile("\\p{Cntrl}");

    private final Platform platform;
    private final String name;
    private final List<DeviceTreeNode> nodes;
    private final IrqHandler irq;
    private final Trace trace = new Trace();
    private final AtomicLong skipped = new AtomicLong();
    private final Map<Integer, Runnable> handlers = new HashMap<>();
    private final Map<Long, Long> pages = new HashMap<>();

    /** By interrupt: how often in a row it stayed pending although the driver had handled it. */
    private final Map<Integer, Integer> storms = new HashMap<>();

    /** The thread that operations run on. Its own: what is wrong with the one under way, and whether that is irq. */
    private volatile Thread driverThread;

    private String wrong;
    private boolean inIrq;

    private volatile boolean abandoned;

    /** @param irq null if there is nobody to handle interrupts */
    DriverHost(Platform platform, String name, IrqHandler irq) {
        this.platform = platform;
        this.name = name;
        this.irq = irq;
        nodes = platform.tree().nodes();
    }

    /** From now on operations run on this thread. */
    void onThread(Thread thread) {
        driverThread = thread;
    }

    /** Nobody waits for the driver any more: whoever calls from it stops here. */
    void abandon() {
        abandoned = true;
    }

    /** What was wrong with the operation that has returned, null if nothing was; and forgets it. */
    String takeWrong() {
        String taken = wrong;
        wrong = null;
        return taken;
    }

    /** Puts back what {@link #takeWrong} took. */
    void restoreWrong(String taken) {
        wrong = taken;
    }

    /** What the driver did last. */
    String lastSteps() {
        return trace.toString();
    }

    private void enter() {
        while (abandoned) {
            LockSupport.park(this);
        }
    }

    private void failed(String what) {
        platform.log().error(name, what);
        if (Thread.currentThread() == driverThread && wrong == null) {
            wrong = what;
        }
    }

    /** A read of 1, 2, 4 or 8 bytes. */
    long read(long address, int size) {
        enter();
        long value = -1L;
        try {
            value = platform.bus().read(address, size);
        } catch (BusError e) {
            failed(e.getMessage());
        } catch (RuntimeException | Error e) {
            failed("bug in the emulator: " + e);
        }
        trace.add(Trace.READ + size, address, value);
        return value;
    }

    /** A write of 1, 2, 4 or 8 bytes. */
    void write(long address, int size, long value) {
        enter();
        // Before the write, which may be what everything ends with.
        trace.add(Trace.WRITE + size, address, value);
        try {
            platform.bus().write(address, size, value);
        } catch (BusError e) {
            failed(e.getMessage());
        } catch (RuntimeException | Error e) {
            failed("bug in the emulator: " + e);
        }
    }

    void barrier() {
        VarHandle.fullFence();
    }

    void delay(long nanoseconds) {
        enter();
        trace.add(Trace.DELAY, nanoseconds, 0);
        skipped.addAndGet(Math.max(0, nanoseconds));
        if (Thread.currentThread() != driverThread || inIrq) {
            return;
        }
        try {
            platform.relax();
        } catch (RuntimeException | Error e) {
            failed("bug in the emulator: " + e);
        }
    }

    long time() {
        enter();
        return System.nanoTime() + skipped.get();
    }

    void log(int level, String text) {
        enter();
        // One line, whatever it is made of: others are not to be taken for the emulator's, nor a terminal be driven.
        String line = CONTROLS.matcher(text.stripTrailing()).replaceAll(" ");
        platform.log().say(LEVELS[Math.max(0, Math.min(level, LEVELS.length - 1))], name, line);
    }

    /** @return the physical address, or a negative error number */
    long alloc(long size) {
        enter();
        trace.add(Trace.ALLOC, size, 0);
        if (size < 4096 || Long.bitCount(size) != 1) {
            return -Errno.EINVAL.number();
        }
        long physical = platform.pages().allocate(size);
        if (physical == PageAllocator.NONE) {
            return -Errno.ENOMEM.number();
        }
        synchronized (pages) {
            pages.put(physical, size);
        }
        return physical;
    }

    int free(long physical, long size) {
        enter();
        trace.add(Trace.FREE, physical, size);
        synchronized (pages) {
            if (!pages.remove(physical, size)) {
                return -Errno.EINVAL.number();
            }
        }
        platform.pages().free(physical, size);
        return 0;
    }

    int requestIrq(int number) {
        enter();
        trace.add(Trace.REQUEST_IRQ, number, 0);
        if (irq == null) {
            return -Errno.ENOSYS.number();
        }
        Runnable handler = () -> handle(number);
        synchronized (handlers) {
            if (handlers.putIfAbsent(number, handler) != null) {
                return -Errno.EBUSY.number();
            }
        }
        platform.interrupts().request(number, handler);
        return 0;
    }

    int releaseIrq(int number) {
        enter();
        trace.add(Trace.RELEASE_IRQ, number, 0);
        Runnable handler;
        synchronized (handlers) {
            handler = handlers.remove(number);
        }
        if (handler == null) {
            return -Errno.EINVAL.number();
        }
        platform.interrupts().release(number, handler);
        return 0;
    }

    private void handle(int number) {
        irq.handle(number);
        int times;
        synchronized (handlers) {
            times = platform.interrupts().isPending(number) ? storms.getOrDefault(number, 0) + 1 : 0;
            storms.put(number, times);
        }
        if (times == InterruptController.STORM_LIMIT) {
            platform.log()
                    .error(
                            name,
                            "interrupt storm: interrupt %d is still pending after irq handled it %d times"
                                    .formatted(number, InterruptController.STORM_LIMIT));
        }
    }

    /** Runs the driver's irq, in which interrupts are masked. On the driver's thread. */
    void inIrq(Runnable body) {
        boolean before = inIrq;
        inIrq = true;
        try {
            body.run();
        } finally {
            inIrq = before;
        }
    }

    void fault(String fault, String details, long address, long streamId, int iommu) {
        enter();
        if (iommu < 0 || iommu >= nodes.size()) {
            platform.log().error(name, "a fault of unit %d, which is no node of the tree".formatted(iommu));
            return;
        }
        platform.log().fault(new FaultReport(nodes.get(iommu), fault, streamId, address, details));
    }

    int limitInput(int bits) {
        enter();
        if (bits < 32) {
            return -Errno.EINVAL.number();
        }
        platform.restrictIpaBits(bits);
        return 0;
    }

    /** Gives back what the driver has: interrupts and RAM. */
    void close() {
        synchronized (handlers) {
            handlers.forEach(platform.interrupts()::release);
            handlers.clear();
        }
        synchronized (pages) {
            pages.forEach(platform.pages()::free);
            pages.clear();
        }
    }
}
