package org.iommuemu.probe.boot;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.iommuemu.probe.devicetree.DeviceTreeNode;

/** What holds for whatever waits for whatever. */
class IommuSetupPropertiesTest {
    /** Naming the supplier never changes what comes up, in which round, and what is returned. */
    @Property(tries = 300)
    void namingWhatIsWaitedForChangesNothingButTheNumberOfProbes(
            @ForAll @Size(min = 1, max = 12) List<@IntRange(min = -1, max = 11) Integer> suppliers) {
        int n = suppliers.size();
        Function<Integer, Integer> supplier =
                i -> suppliers.get(i) < 0 || suppliers.get(i) >= n ? null : suppliers.get(i);
        List<List<Object>> results = new ArrayList<>();
        for (boolean named : new boolean[] {true, false}) {
            IommuSetupTest.ChainDriver chain = new IommuSetupTest.ChainDriver(n, named, supplier);
            IommuSetup setup =
                    IommuSetupTest.setup(new IommuSetupTest.Lines(), chain.tree, chain.driver, new ProbeFailures());
            String panic = null;
            try {
                setup.run(IommuSetupTest.options(""));
            } catch (Panic p) {
                panic = p.getMessage();
            }
            results.add(Arrays.asList(
                    setup.outcome().rc(),
                    setup.outcome().rounds(),
                    panic,
                    chain.driver.up.stream().map(DeviceTreeNode::path).toList()));
        }
        assertEquals(results.get(1), results.get(0));
    }
}
