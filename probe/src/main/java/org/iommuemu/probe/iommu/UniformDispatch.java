package org.iommuemu.probe.iommu;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.List;

/**
 * One operations object in the system: calls are bound to it once. Xen patches its indirect calls at boot for that
 * (alternative_call); here every system gets a class of its own, made of this one's bytes, in which the object is a
 * constant. The JIT knows the callee of each method and inlines it, whatever kinds of IOMMU other systems in the same JVM
 * have. (A call site in a static field would be as constant, but one for all systems.)
 *
 * <p>This class itself is only the pattern: {@link #to} makes the classes that are used.
 */
final class UniformDispatch implements Dispatch {
    private static final IommuOps OPS = bound();

    private UniformDispatch() {}

    private static IommuOps bound() {
        try {
            return MethodHandles.classData(MethodHandles.lookup(), "_", IommuOps.class);
        } catch (IllegalAccessException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    /** Binds to an operations object. */
    static Dispatch to(IommuOps ops) {
        try (InputStream in = UniformDispatch.class.getResourceAsStream("UniformDispatch.class")) {
            MethodHandles.Lookup made =
                    MethodHandles.lookup().defineHiddenClassWithClassData(in.readAllBytes(), ops, true);
            return (Dispatch) made.findConstructor(made.lookupClass(), MethodType.methodType(void.class))
                    .invoke();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (Throwable e) {
            throw new LinkageError("uniform dispatch", e);
        }
    }

    @Override
    public Errno dtXlate(Device device, List<Integer> args) {
        return OPS.dtXlate(device, args);
    }

    @Override
    public Errno addDevice(Device device) {
        return OPS.addDevice(device);
    }

    @Override
    public Errno removeDevice(Device device) {
        return OPS.removeDevice(device);
    }

    @Override
    public Errno assignDevice(Domain domain, Device device) {
        return OPS.assignDevice(domain, device);
    }

    @Override
    public Errno deassignDevice(Domain domain, Device device) {
        return OPS.deassignDevice(domain, device);
    }

    @Override
    public void mapPages(Domain domain, long guestPhysical, long machine, long size) {
        OPS.mapPages(domain, guestPhysical, machine, size);
    }

    @Override
    public void unmapPages(Domain domain, long guestPhysical, long size) {
        OPS.unmapPages(domain, guestPhysical, size);
    }

    @Override
    public void iotlbFlush(Domain domain, long address, long size) {
        OPS.iotlbFlush(domain, address, size);
    }
}
