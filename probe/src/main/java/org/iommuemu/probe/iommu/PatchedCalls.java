package org.iommuemu.probe.iommu;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.invoke.MutableCallSite;

/**
 * The operations on pages of a domain, as call sites that are patched at boot (Xen's alternative_call). They begin as calls
 * through the domain. As long as there is one system in this process, and it is uniform, they are calls of its operations
 * object: a constant to the JIT, which inlines the callee without a load or a test. A second system, or a mixed one, makes
 * them calls through the domain for good; code that was compiled for the one system is thrown away then.
 *
 * <p>So an operations object may be asked about a domain that it has nothing of, and does nothing then.
 */
final class PatchedCalls {
    private static final MethodType RANGE = MethodType.methodType(void.class, Domain.class, long.class, long.class);
    private static final MethodType RUN = RANGE.appendParameterTypes(long.class);

    private static final MutableCallSite MAP_SITE = site("mapThrough", RUN);
    private static final MutableCallSite UNMAP_SITE = site("unmapThrough", RANGE);
    private static final MutableCallSite FLUSH_SITE = site("flushThrough", RANGE);

    private static final MethodHandle MAP = MAP_SITE.dynamicInvoker();
    private static final MethodHandle UNMAP = UNMAP_SITE.dynamicInvoker();
    private static final MethodHandle FLUSH = FLUSH_SITE.dynamicInvoker();

    /** What calls are bound to; null before, and after. */
    private static IommuOps bound;

    /** There is, or was, more than one uniform system. */
    private static boolean several;

    private PatchedCalls() {}

    /** A uniform system has its operations object. */
    static synchronized void bind(IommuOps ops) {
        if (several || bound == ops) {
            return;
        }
        if (bound != null) {
            unbind();
            return;
        }
        bound = ops;
        retarget(virtual(ops, "mapPages", RUN), virtual(ops, "unmapPages", RANGE), virtual(ops, "iotlbFlush", RANGE));
    }

    /** There is a mixed system, or more than one. */
    static synchronized void unbind() {
        if (!several) {
            several = true;
            bound = null;
            retarget(own("mapThrough", RUN), own("unmapThrough", RANGE), own("flushThrough", RANGE));
        }
    }

    static synchronized IommuOps bound() {
        return bound;
    }

    private static void retarget(MethodHandle map, MethodHandle unmap, MethodHandle flush) {
        MAP_SITE.setTarget(map);
        UNMAP_SITE.setTarget(unmap);
        FLUSH_SITE.setTarget(flush);
        MutableCallSite.syncAll(new MutableCallSite[] {MAP_SITE, UNMAP_SITE, FLUSH_SITE});
    }

    static void mapPages(Domain domain, long guestPhysical, long machine, long size) {
        try {
            MAP.invokeExact(domain, guestPhysical, machine, size);
        } catch (Throwable e) {
            throw unchecked(e);
        }
    }

    static void unmapPages(Domain domain, long guestPhysical, long size) {
        try {
            UNMAP.invokeExact(domain, guestPhysical, size);
        } catch (Throwable e) {
            throw unchecked(e);
        }
    }

    static void iotlbFlush(Domain domain, long address, long size) {
        try {
            FLUSH.invokeExact(domain, address, size);
        } catch (Throwable e) {
            throw unchecked(e);
        }
    }

    private static void mapThrough(Domain domain, long guestPhysical, long machine, long size) {
        if (domain.dispatch() != null) {
            domain.dispatch().mapPages(domain, guestPhysical, machine, size);
        }
    }

    private static void unmapThrough(Domain domain, long guestPhysical, long size) {
        if (domain.dispatch() != null) {
            domain.dispatch().unmapPages(domain, guestPhysical, size);
        }
    }

    private static void flushThrough(Domain domain, long address, long size) {
        if (domain.dispatch() != null) {
            domain.dispatch().iotlbFlush(domain, address, size);
        }
    }

    private static MutableCallSite site(String through, MethodType type) {
        return new MutableCallSite(own(through, type));
    }

    private static MethodHandle own(String name, MethodType type) {
        try {
            return MethodHandles.lookup().findStatic(PatchedCalls.class, name, type);
        } catch (ReflectiveOperationException e) {
            throw new LinkageError(name, e);
        }
    }

    private static MethodHandle virtual(IommuOps ops, String name, MethodType type) {
        try {
            return MethodHandles.lookup()
                    .findVirtual(IommuOps.class, name, type)
                    .bindTo(ops);
        } catch (ReflectiveOperationException e) {
            throw new LinkageError(name, e);
        }
    }

    /** The operations throw nothing that is checked. */
    private static RuntimeException unchecked(Throwable e) {
        if (e instanceof Error error) {
            throw error;
        }
        return (RuntimeException) e;
    }
}
