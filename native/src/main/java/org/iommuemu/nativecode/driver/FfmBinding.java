package org.iommuemu.nativecode.driver;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Array;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * Over {@code java.lang.foreign}, which is final since JDK 22. It is reached by reflection, so that a build for 17 has this
 * class and a JVM of 22 can use it; reflection makes the method handles, and no call goes through it.
 */
final class FfmBinding implements Binding {
    /** The first release that has it. */
    static final int FIRST_RELEASE = 22;

    private static final String PACKAGE = "java.lang.foreign.";

    private final Class<?> layoutClass = type("MemoryLayout");
    private final Class<?> segmentClass = type("MemorySegment");
    private final Class<?> arenaClass = type("Arena");
    private final Class<?> descriptorClass = type("FunctionDescriptor");
    private final Class<?> optionsClass = type("Linker$Option").arrayType();
    private final Object linker = call(type("Linker"), "nativeLinker", null);
    private final Object noOptions = Array.newInstance(optionsClass.componentType(), 0);
    private final Object globalArena = call(arenaClass, "global", null);

    static Optional<String> unavailable() {
        int release = Runtime.version().feature();
        return release >= FIRST_RELEASE
                ? Optional.empty()
                : Optional.of("java.lang.foreign needs JDK %d or newer, this is %d".formatted(FIRST_RELEASE, release));
    }

    private static Class<?> type(String name) {
        try {
            return Class.forName(PACKAGE + name);
        } catch (ClassNotFoundException e) {
            throw new LinkageError(unavailable().orElse(e.toString()), e);
        }
    }

    /** Calls a method whose parameters, if any, have the types that follow each other with the arguments. */
    private static Object call(Class<?> in, String name, Object on, Object... typesAndArguments) {
        int count = typesAndArguments.length / 2;
        Class<?>[] types = new Class<?>[count];
        Object[] arguments = new Object[count];
        for (int i = 0; i < count; i++) {
            types[i] = (Class<?>) typesAndArguments[2 * i];
            arguments[i] = typesAndArguments[2 * i + 1];
        }
        try {
            Method method = in.getMethod(name, types);
            return method.invoke(on, arguments);
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof IllegalArgumentException cause) {
                throw cause;
            }
            throw new LinkageError(name + ": " + e.getCause(), e.getCause());
        } catch (ReflectiveOperationException e) {
            throw new LinkageError(name + ": " + e, e);
        }
    }

    private Object layout(Class<?> primitive) {
        String name = "JAVA_" + primitive.getName().toUpperCase(Locale.ROOT);
        try {
            return type("ValueLayout").getField(name).get(null);
        } catch (ReflectiveOperationException e) {
            throw new LinkageError(name, e);
        }
    }

    private Object descriptor(MethodType type) {
        Object parameters = Array.newInstance(layoutClass, type.parameterCount());
        for (int i = 0; i < type.parameterCount(); i++) {
            Array.set(parameters, i, layout(type.parameterType(i)));
        }
        return type.returnType() == void.class
                ? call(descriptorClass, "ofVoid", null, parameters.getClass(), parameters)
                : call(
                        descriptorClass,
                        "of",
                        null,
                        layoutClass,
                        layout(type.returnType()),
                        parameters.getClass(),
                        parameters);
    }

    private Object segment(long address) {
        return call(segmentClass, "ofAddress", null, long.class, address);
    }

    private long address(Object segment) {
        return (long) call(segmentClass, "address", segment);
    }

    @Override
    public long symbol(Path library, String name) {
        try {
            Object lookup = call(
                    type("SymbolLookup"),
                    "libraryLookup",
                    null,
                    Path.class,
                    library.toAbsolutePath(),
                    arenaClass,
                    globalArena);
            Optional<?> found = (Optional<?>) call(type("SymbolLookup"), "find", lookup, String.class, name);
            return address(found.orElseThrow(() -> new UnsatisfiedLinkError(library + ": undefined symbol: " + name)));
        } catch (IllegalArgumentException e) {
            throw new UnsatisfiedLinkError(e.getMessage());
        }
    }

    private MethodHandle downcall(long function, Class<?> result, int arity) {
        MethodType type = MethodType.genericMethodType(0).changeReturnType(result);
        for (int i = 0; i < arity; i++) {
            type = type.appendParameterTypes(long.class);
        }
        return (MethodHandle) call(
                type("Linker"),
                "downcallHandle",
                linker,
                segmentClass,
                segment(function),
                descriptorClass,
                descriptor(type),
                optionsClass,
                noOptions);
    }

    @Override
    public long callForPointer(long function, long argument) {
        try {
            return (long) downcall(function, long.class, 1).invokeExact(argument);
        } catch (Throwable e) {
            throw new LinkageError("downcall", e);
        }
    }

    @Override
    public Downcall function(long address, int arity) {
        MethodHandle handle = downcall(address, int.class, arity).asSpreader(long[].class, arity);
        return arguments -> {
            try {
                return (int) handle.invokeExact(arguments);
            } catch (Throwable e) {
                throw new LinkageError("downcall", e);
            }
        };
    }

    @Override
    public ByteBuffer memory(long address, int size) {
        Object sized = call(segmentClass, "reinterpret", segment(address), long.class, (long) size);
        return ((ByteBuffer) call(segmentClass, "asByteBuffer", sized)).order(ByteOrder.nativeOrder());
    }

    @Override
    public long address(ByteBuffer direct) {
        return address(call(segmentClass, "ofBuffer", null, Buffer.class, direct));
    }

    @Override
    public Upcalls upcalls(HostFunctions host) {
        // Freed when nobody refers to a stub any more.
        Object arena = call(arenaClass, "ofAuto", null);
        List<Object> stubs = new ArrayList<>();
        for (String name : List.of(
                "read8",
                "read16",
                "read32",
                "read64",
                "write8",
                "write16",
                "write32",
                "write64",
                "barrier",
                "delay",
                "time",
                "log",
                "alloc",
                "free",
                "requestIrq",
                "releaseIrq",
                "fault",
                "limitInput")) {
            stubs.add(stub(host, name, arena));
        }
        long[] addresses = stubs.stream().mapToLong(this::address).toArray();
        return new Upcalls() {
            private final List<Object> kept = stubs;

            @Override
            public long[] addresses() {
                return kept.isEmpty() ? new long[0] : addresses.clone();
            }
        };
    }

    private Object stub(HostFunctions host, String name, Object arena) {
        Method method = Arrays.stream(HostFunctions.class.getDeclaredMethods())
                .filter(m -> m.getName().equals(name))
                .findFirst()
                .orElseThrow();
        MethodType type = MethodType.methodType(method.getReturnType(), method.getParameterTypes());
        try {
            MethodHandle target = MethodHandles.lookup()
                    .findVirtual(HostFunctions.class, name, type)
                    .bindTo(host);
            return call(
                    type("Linker"),
                    "upcallStub",
                    linker,
                    MethodHandle.class,
                    target,
                    descriptorClass,
                    descriptor(type),
                    arenaClass,
                    arena,
                    optionsClass,
                    noOptions);
        } catch (ReflectiveOperationException e) {
            throw new LinkageError(name, e);
        }
    }

    @Override
    public String toString() {
        return "java.lang.foreign";
    }
}
