package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.Field;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Register;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.mmio.RegisterMap;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/**
 * Registers without effects, read and written by software over a bus of sixteen devices. Reference: a read through a
 * function pointer in C; it decodes no address and takes no lock.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class RegisterBenchmark {
    private static final int DEVICES = 16;
    private static final int REGISTERS = 64;
    private static final int WINDOW = 0x10000;
    private static final long BASE = 0xe674_0000L;
    /** The device that is accessed: neither the first nor the middle one. */
    private static final long UNIT = BASE + 11 * WINDOW;

    private Bus bus;
    private ByteBuffer registers;
    private int[] next;

    /** Makes the bus; registers hold each other's offsets. */
    @Setup
    public void setUp() {
        bus = new Bus(new PhysicalMemory());
        List<Register> declarations = new ArrayList<>();
        for (int i = 0; i < REGISTERS; i++) {
            declarations.add(Register.word("REG" + i, 4 * i, Field.rw("OFFSET", 0, 32)));
        }
        RegisterMap map = new RegisterMap(WINDOW, declarations);
        for (int i = 0; i < DEVICES; i++) {
            bus.attach(
                    "unit" + i,
                    BASE + (long) i * WINDOW,
                    WINDOW,
                    new RegisterFile(map, "unit" + i, MisuseListener.NONE));
        }
        registers = Reference.memory(4 * REGISTERS);
        next = Chain.cycle(REGISTERS);
        for (int i = 0; i < REGISTERS; i++) {
            bus.write32(UNIT + 4 * i, 4 * next[i]);
            registers.putInt(4 * i, 4 * next[i]);
        }
    }

    /** Reads. */
    @Benchmark
    @Figure(nsAtMost = 10)
    public long read() {
        long offset = 0;
        for (int i = 0; i < Chain.STEPS; i++) {
            offset = bus.read32(UNIT + offset);
        }
        return offset;
    }

    /** Writes of the value that is there. */
    @Benchmark
    @Figure(nsAtMost = 10)
    public Bus write() {
        for (int i = 0; i < Chain.STEPS; i++) {
            int register = i & REGISTERS - 1;
            bus.write32(UNIT + 4 * register, 4 * next[register]);
        }
        return bus;
    }

    /** In C. */
    @Benchmark
    public long reference(Reference reference) {
        return reference.loops.read(registers, 0, Chain.STEPS);
    }
}
