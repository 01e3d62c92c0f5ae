package org.iommuemu.mmio;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.SplittableRandom;
import net.jqwik.api.EdgeCasesMode;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;

class PhysicalMemoryPropertiesTest {
    private static final long CHUNK = 1 << 16;
    private static final long BASE = 0x4000_0000L;

    @Property(tries = 300, edgeCases = EdgeCasesMode.NONE)
    void everyMixOfAccessesAgreesWithAnArrayOfBytes(@ForAll long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        PhysicalMemory tested = new PhysicalMemory();
        int size = 1 << 18;
        tested.addRam(BASE, size);
        byte[] plain = new byte[size];
        for (int i = 0; i < 100; i++) {
            int bytes = 1 << random.nextInt(4);
            // Half of the accesses are close to chunk borders.
            int at = random.nextBoolean()
                    ? random.nextInt(size / bytes) * bytes
                    : (int) (CHUNK * (1 + random.nextInt(3)) + (random.nextInt(8) - 4) * bytes);
            long value = random.nextLong();
            int length = 1 + random.nextInt(40_000);
            int from = random.nextInt(size - length);
            int to = random.nextInt(size - length);
            switch (random.nextInt(4)) {
                case 0 -> {
                    switch (bytes) {
                        case 1 -> tested.write8(BASE + at, (int) value);
                        case 2 -> tested.write16(BASE + at, (int) value);
                        case 4 -> tested.write32(BASE + at, (int) value);
                        default -> tested.write64(BASE + at, value);
                    }
                    for (int b = 0; b < bytes; b++) {
                        plain[at + b] = (byte) (value >>> 8 * b);
                    }
                }
                case 1 -> {
                    tested.copy(BASE + from, BASE + to, length);
                    System.arraycopy(plain, from, plain, to, length);
                }
                case 2 -> {
                    tested.zero(BASE + to, length);
                    Arrays.fill(plain, to, to + length, (byte) 0);
                }
                default -> {
                    tested.write(BASE + to, plain, from, length);
                    System.arraycopy(plain.clone(), from, plain, to, length);
                }
            }
            long expected = 0;
            for (int b = 0; b < bytes; b++) {
                expected |= (plain[at + b] & 0xffL) << 8 * b;
            }
            long got =
                    switch (bytes) {
                        case 1 -> tested.read8(BASE + at);
                        case 2 -> tested.read16(BASE + at);
                        case 4 -> tested.read32(BASE + at) & 0xffff_ffffL;
                        default -> tested.read64(BASE + at);
                    };
            assertEquals(expected, got);
        }
        byte[] all = new byte[size];
        tested.read(BASE, all, 0, size);
        assertArrayEquals(plain, all);
    }
}
