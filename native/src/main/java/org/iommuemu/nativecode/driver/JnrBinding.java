package org.iommuemu.nativecode.driver;

import com.kenai.jffi.CallContext;
import com.kenai.jffi.CallingConvention;
import com.kenai.jffi.Invoker;
import com.kenai.jffi.MemoryIO;
import com.kenai.jffi.Type;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import jnr.ffi.Pointer;
import jnr.ffi.Runtime;
import jnr.ffi.annotations.Delegate;
import jnr.ffi.provider.ClosureManager;
import jnr.ffi.types.u_int64_t;

/**
 * Over jnr-ffi: callbacks are its closures. A function at an address is called with jffi, the layer under jnr-ffi, as jnr-ffi
 * itself binds functions by name only.
 */
final class JnrBinding implements Binding {
    /** jffi unloads a library that nobody refers to. */
    private static final Map<Path, com.kenai.jffi.Library> LOADED = new ConcurrentHashMap<>();

    /** See {@link HostFunctions}; public, as the classes that call them are another loader's. */
    public interface Read8 {
        /** {@code read8}. */
        @Delegate
        byte call(@u_int64_t long context, @u_int64_t long address);
    }

    /** See {@link HostFunctions}. */
    public interface Read16 {
        /** {@code read16}. */
        @Delegate
        short call(@u_int64_t long context, @u_int64_t long address);
    }

    /** See {@link HostFunctions}. */
    public interface Read32 {
        /** {@code read32}. */
        @Delegate
        int call(@u_int64_t long context, @u_int64_t long address);
    }

    /** See {@link HostFunctions}. */
    public interface Read64 {
        /** {@code read64}. */
        @Delegate
        @u_int64_t
        long call(@u_int64_t long context, @u_int64_t long address);
    }

    /** See {@link HostFunctions}. */
    public interface Write8 {
        /** {@code write8}. */
        @Delegate
        void call(@u_int64_t long context, @u_int64_t long address, byte value);
    }

    /** See {@link HostFunctions}. */
    public interface Write16 {
        /** {@code write16}. */
        @Delegate
        void call(@u_int64_t long context, @u_int64_t long address, short value);
    }

    /** See {@link HostFunctions}. */
    public interface Write32 {
        /** {@code write32}. */
        @Delegate
        void call(@u_int64_t long context, @u_int64_t long address, int value);
    }

    /** See {@link HostFunctions}. */
    public interface Write64 {
        /** {@code write64}. */
        @Delegate
        void call(@u_int64_t long context, @u_int64_t long address, @u_int64_t long value);
    }

    /** See {@link HostFunctions}. */
    public interface Barrier {
        /** {@code barrier}. */
        @Delegate
        void call(@u_int64_t long context);
    }

    /** See {@link HostFunctions}. */
    public interface Delay {
        /** {@code delay}, {@code fault}. */
        @Delegate
        void call(@u_int64_t long context, @u_int64_t long value);
    }

    /** See {@link HostFunctions}. */
    public interface Time {
        /** {@code time}. */
        @Delegate
        @u_int64_t
        long call(@u_int64_t long context);
    }

    /** See {@link HostFunctions}. */
    public interface Log {
        /** {@code log}. */
        @Delegate
        void call(@u_int64_t long context, int level, @u_int64_t long text);
    }

    /** See {@link HostFunctions}. */
    public interface Alloc {
        /** {@code alloc}, {@code free}. */
        @Delegate
        int call(@u_int64_t long context, @u_int64_t long first, @u_int64_t long second);
    }

    /** See {@link HostFunctions}. */
    public interface Irq {
        /** {@code request_irq}, {@code release_irq}, {@code limit_input}. */
        @Delegate
        int call(@u_int64_t long context, int number);
    }

    @Override
    public long symbol(Path library, String name) {
        com.kenai.jffi.Library loaded = com.kenai.jffi.Library.getCachedInstance(
                library.toString(), com.kenai.jffi.Library.NOW | com.kenai.jffi.Library.LOCAL);
        if (loaded == null) {
            throw new UnsatisfiedLinkError(com.kenai.jffi.Library.getLastError());
        }
        LOADED.put(library, loaded);
        return loaded.getSymbolAddress(name);
    }

    private static CallContext context(Type result, int arity) {
        Type[] parameters = new Type[arity];
        Arrays.fill(parameters, Type.UINT64);
        return CallContext.getCallContext(result, parameters, CallingConvention.DEFAULT, false);
    }

    @Override
    public long callForPointer(long function, long argument) {
        return Invoker.getInstance().invokeN1(context(Type.POINTER, 1), function, argument);
    }

    @Override
    public Downcall function(long address, int arity) {
        CallContext context = context(Type.SINT32, arity);
        Invoker invoker = Invoker.getInstance();
        return a -> (int)
                switch (arity) {
                    case 1 -> invoker.invokeN1(context, address, a[0]);
                    case 2 -> invoker.invokeN2(context, address, a[0], a[1]);
                    case 3 -> invoker.invokeN3(context, address, a[0], a[1], a[2]);
                    case 4 -> invoker.invokeN4(context, address, a[0], a[1], a[2], a[3]);
                    case 5 -> invoker.invokeN5(context, address, a[0], a[1], a[2], a[3], a[4]);
                    default -> invoker.invokeN6(context, address, a[0], a[1], a[2], a[3], a[4], a[5]);
                };
    }

    @Override
    public ByteBuffer memory(long address, int size) {
        return MemoryIO.getInstance().newDirectByteBuffer(address, size).order(ByteOrder.nativeOrder());
    }

    @Override
    public long address(ByteBuffer direct) {
        return MemoryIO.getInstance().getDirectBufferAddress(direct);
    }

    private record Closure<T>(Class<T> type, T function) {
        long address(ClosureManager manager) {
            Pointer pointer = manager.getClosurePointer(type, function);
            return pointer.address();
        }
    }

    @Override
    public Upcalls upcalls(HostFunctions host) {
        // The manager keeps a closure as long as its function is reachable.
        List<Closure<?>> closures = List.of(
                new Closure<>(Read8.class, host::read8),
                new Closure<>(Read16.class, host::read16),
                new Closure<>(Read32.class, host::read32),
                new Closure<>(Read64.class, host::read64),
                new Closure<>(Write8.class, host::write8),
                new Closure<>(Write16.class, host::write16),
                new Closure<>(Write32.class, host::write32),
                new Closure<>(Write64.class, host::write64),
                new Closure<>(Barrier.class, host::barrier),
                new Closure<>(Delay.class, host::delay),
                new Closure<>(Time.class, host::time),
                new Closure<>(Log.class, host::log),
                new Closure<>(Alloc.class, host::alloc),
                new Closure<>(Alloc.class, host::free),
                new Closure<>(Irq.class, host::requestIrq),
                new Closure<>(Irq.class, host::releaseIrq),
                new Closure<>(Delay.class, host::fault),
                new Closure<>(Irq.class, host::limitInput));
        ClosureManager manager = Runtime.getSystemRuntime().getClosureManager();
        long[] addresses = closures.stream().mapToLong(c -> c.address(manager)).toArray();
        return new Upcalls() {
            private final List<Closure<?>> kept = closures;

            @Override
            public long[] addresses() {
                return kept.isEmpty() ? new long[0] : addresses.clone();
            }
        };
    }

    @Override
    public String toString() {
        return "jnr-ffi";
    }
}
