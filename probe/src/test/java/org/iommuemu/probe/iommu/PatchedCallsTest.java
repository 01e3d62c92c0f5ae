package org.iommuemu.probe.iommu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.File;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.iommuemu.probe.driver.mock.MockDriver;
import org.junit.jupiter.api.Test;

/** Calls that are patched for the only system of a process. Each scenario has classes of its own, as a new process would. */
class PatchedCallsTest {
    /** Runs in a class loader of its own; tells what happened by strings, which are the same class everywhere. */
    public static final class Scenario {
        private final List<String> seen = new ArrayList<>();

        /** A system of that mode with a device in d1, a page of which is unmapped. */
        private void system(Iommus.Mode mode, String name) {
            Rig rig = new Rig(Rig.iommus().parse());
            Iommus iommus = new Iommus(rig.platform, mode, Iommus.Probing.FIRMWARE_SPEC);
            MockDriver driver = new MockDriver(name, false);
            var node = rig.tree.node("/iommu@1").orElseThrow();
            driver.probe(node);
            iommus.register(node, driver);
            iommus.register(node, driver);
            Domain domain = iommus.createDomain(1);
            domain.mapRam(0, Rig.RAM, 4096);
            Device device = rig.device("/one");
            iommus.addDevice(device, device.node().iommus());
            iommus.assign(domain, device);
            driver.takeAsked();
            domain.unmap(0, 4096);
            seen.add("%s bound=%s %s".formatted(name, PatchedCalls.bound() == driver, driver.takeAsked()));
        }

        /** Systems one after the other: "U" uniform, "M" mixed. */
        public static List<String> run(String systems) {
            Scenario scenario = new Scenario();
            for (int i = 0; i < systems.length(); i++) {
                scenario.system(systems.charAt(i) == 'U' ? Iommus.Mode.UNIFORM : Iommus.Mode.MIXED, "s" + i);
            }
            return scenario.seen;
        }
    }

    private static List<?> run(String systems) throws Exception {
        URL[] path = Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
                .map(PatchedCallsTest::url)
                .toArray(URL[]::new);
        try (URLClassLoader fresh = new URLClassLoader(path, ClassLoader.getPlatformClassLoader())) {
            return (List<?>) fresh.loadClass(Scenario.class.getName())
                    .getMethod("run", String.class)
                    .invoke(null, systems);
        }
    }

    private static URL url(String entry) {
        try {
            return new File(entry).toURI().toURL();
        } catch (MalformedURLException e) {
            throw new IllegalArgumentException(e);
        }
    }

    @Test
    void theOnlyUniformSystemIsBound() throws Exception {
        assertEquals(List.of("s0 bound=true [flush d1 0x0 0x1000]"), run("U"));
    }

    @Test
    void aSecondSystemEndsThatAndEachReachesItsOwn() throws Exception {
        assertEquals(
                List.of(
                        "s0 bound=true [flush d1 0x0 0x1000]",
                        "s1 bound=false [flush d1 0x0 0x1000]",
                        "s2 bound=false [flush d1 0x0 0x1000]"),
                run("UUU"));
    }

    @Test
    void aMixedSystemIsNeverBound() throws Exception {
        assertEquals(List.of("s0 bound=true [flush d1 0x0 0x1000]", "s1 bound=false [flush d1 0x0 0x1000]"), run("UM"));
        assertEquals(
                List.of("s0 bound=false [flush d1 0x0 0x1000]", "s1 bound=false [flush d1 0x0 0x1000]"), run("MU"));
    }
}
