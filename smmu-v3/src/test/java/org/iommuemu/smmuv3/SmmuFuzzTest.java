package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import java.time.Duration;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/** The targets of {@link SmmuFuzz} with a sample of inputs that is the same in every build. */
class SmmuFuzzTest {
    private static final int INPUTS = 1_500;
    private static final int MOST_BYTES = 800;

    private final SmmuFuzz targets = new SmmuFuzz();

    private static void sample(Consumer<byte[]> target) {
        for (int seed = 0; seed < INPUTS; seed++) {
            SplittableRandom random = new SplittableRandom(seed);
            byte[] data = new byte[random.nextInt(MOST_BYTES)];
            random.nextBytes(data);
            // What runs so long has hung.
            assertTimeoutPreemptively(Duration.ofSeconds(20), () -> target.accept(data), "input of seed " + seed);
        }
    }

    @Test
    void anyAccessesToRegistersEnd() {
        sample(targets::registers);
    }

    @Test
    void anyCommandsAreConsumedOrStopTheQueue() {
        sample(targets::commands);
    }

    @Test
    void anyStructuresEndInAtMostOneRecord() {
        sample(targets::structures);
    }

    @Test
    void anyDescriptorsEnd() {
        sample(targets::descriptors);
    }
}
