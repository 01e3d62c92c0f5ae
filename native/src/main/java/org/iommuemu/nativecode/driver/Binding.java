package org.iommuemu.nativecode.driver;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** How Java calls C and C calls Java. Addresses are numbers; memory is seen through direct buffers. */
interface Binding {
    /** A C function with parameters of 64 bits, or of fewer in the low bits, that returns an {@code int}. */
    interface Downcall {
        int call(long... arguments);
    }

    /** C functions that call Java, valid as long as this object is reachable. */
    interface Upcalls {
        /** Their addresses, in the order of {@link HostFunctions}. */
        long[] addresses();
    }

    /**
     * The address of a symbol of a library, which stays loaded.
     *
     * @throws UnsatisfiedLinkError if the library cannot be loaded or has no such symbol, with the reason
     */
    long symbol(Path library, String name);

    /**
     * A function that returns a pointer.
     *
     * @param argument its only argument
     */
    long callForPointer(long function, long argument);

    /**
     * A function at an address.
     *
     * @param arity how many parameters it has, at most 6
     */
    Downcall function(long address, int arity);

    /** Memory at an address, in native byte order; nothing keeps it alive. */
    ByteBuffer memory(long address, int size);

    /** Where a direct buffer is. */
    long address(ByteBuffer direct);

    /** Makes the functions of a host. They may be called on any thread. */
    Upcalls upcalls(HostFunctions host);

    /** A string at an address, up to its 0; longer than 64 KiB it is cut. */
    default String string(long address) {
        if (address == 0) {
            return "";
        }
        // Bytes behind the 0 may not be there: they are not looked at.
        ByteBuffer memory = memory(address, 1 << 16);
        int length = 0;
        while (length < memory.capacity() && memory.get(length) != 0) {
            length++;
        }
        byte[] bytes = new byte[length];
        memory.get(0, bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
