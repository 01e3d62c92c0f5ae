package org.iommuemu.nativecode.driver;

import com.sun.jna.Callback;
import com.sun.jna.CallbackReference;
import com.sun.jna.CallbackThreadInitializer;
import com.sun.jna.Function;
import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Over JNA: callbacks are interfaces, a function at an address is called through libffi with boxed arguments. */
final class JnaBinding implements Binding {
    /** dlopen's RTLD_NOW, and not JNA's RTLD_GLOBAL: two drivers may have functions of the same name. */
    private static final Map<String, Object> OPTIONS = Map.of(Library.OPTION_OPEN_FLAGS, 2);

    /** JNA unloads a library that nobody refers to. */
    private static final Map<Path, NativeLibrary> LOADED = new ConcurrentHashMap<>();

    /** A thread that the driver made is attached once, as a daemon, and not with every call. */
    private static final CallbackThreadInitializer ATTACH_ONCE =
            new CallbackThreadInitializer(true, false, "driver thread");

    private interface Read8 extends Callback {
        byte callback(long context, long address);
    }

    private interface Read16 extends Callback {
        short callback(long context, long address);
    }

    private interface Read32 extends Callback {
        int callback(long context, long address);
    }

    private interface Read64 extends Callback {
        long callback(long context, long address);
    }

    private interface Write8 extends Callback {
        void callback(long context, long address, byte value);
    }

    private interface Write16 extends Callback {
        void callback(long context, long address, short value);
    }

    private interface Write32 extends Callback {
        void callback(long context, long address, int value);
    }

    private interface Write64 extends Callback {
        void callback(long context, long address, long value);
    }

    private interface Barrier extends Callback {
        void callback(long context);
    }

    private interface Delay extends Callback {
        void callback(long context, long nanoseconds);
    }

    private interface Time extends Callback {
        long callback(long context);
    }

    private interface Log extends Callback {
        void callback(long context, int level, long text);
    }

    private interface Alloc extends Callback {
        int callback(long context, long first, long second);
    }

    private interface Irq extends Callback {
        int callback(long context, int number);
    }

    @Override
    public long symbol(Path library, String name) {
        NativeLibrary loaded =
                LOADED.computeIfAbsent(library, path -> NativeLibrary.getInstance(path.toString(), OPTIONS));
        return Pointer.nativeValue(loaded.getGlobalVariableAddress(name));
    }

    @Override
    public long callForPointer(long function, long argument) {
        return Function.getFunction(new Pointer(function)).invokeLong(new Object[] {argument});
    }

    @Override
    public Downcall function(long address, int arity) {
        Function function = Function.getFunction(new Pointer(address));
        return arguments -> {
            Object[] boxed = new Object[arity];
            for (int i = 0; i < arity; i++) {
                boxed[i] = arguments[i];
            }
            return function.invokeInt(boxed);
        };
    }

    @Override
    public ByteBuffer memory(long address, int size) {
        return new Pointer(address).getByteBuffer(0, size).order(ByteOrder.nativeOrder());
    }

    @Override
    public long address(ByteBuffer direct) {
        return Pointer.nativeValue(Native.getDirectBufferPointer(direct));
    }

    @Override
    public Upcalls upcalls(HostFunctions host) {
        List<Callback> callbacks = List.of(
                (Read8) host::read8,
                (Read16) host::read16,
                (Read32) host::read32,
                (Read64) host::read64,
                (Write8) host::write8,
                (Write16) host::write16,
                (Write32) host::write32,
                (Write64) host::write64,
                (Barrier) host::barrier,
                (Delay) host::delay,
                (Time) host::time,
                (Log) host::log,
                (Alloc) host::alloc,
                (Alloc) host::free,
                (Irq) host::requestIrq,
                (Irq) host::releaseIrq,
                (Delay) host::fault,
                (Irq) host::limitInput);
        callbacks.forEach(callback -> Native.setCallbackThreadInitializer(callback, ATTACH_ONCE));
        long[] addresses = callbacks.stream()
                .map(CallbackReference::getFunctionPointer)
                .mapToLong(Pointer::nativeValue)
                .toArray();
        // JNA frees a callback that nobody refers to.
        return new Upcalls() {
            private final List<Callback> kept = callbacks;

            @Override
            public long[] addresses() {
                return kept.isEmpty() ? new long[0] : addresses.clone();
            }
        };
    }

    @Override
    public String toString() {
        return "JNA";
    }
}
