package org.iommuemu.harness.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.iommuemu.harness.conformance.ConformanceCase.Image;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.smmuv3.SmmuFeatures;

/**
 * The machine that cases assume, from the {@code meta.json} beside them; what that does not tell is as in the one here:
 * QEMU's {@code virt}.
 *
 * @param ramBase first byte of RAM
 * @param ramSize in bytes
 * @param features what the SMMU implements
 * @param eventMasks by type of event: which bits of a record are to be compared
 */
record Machine(long ramBase, long ramSize, SmmuFeatures features, Map<Integer, byte[]> eventMasks) {
    static final String META = "meta.json";
    private static final Set<Integer> IDENTIFICATION = Set.of(0x0, 0x4, 0x8, 0xc, 0x10, 0x14, 0x18, 0x1c, 0x190);

    /** The machine of the cases in a file. */
    static Machine besides(Path file) throws ConformanceException, IOException {
        Path meta = file.resolveSibling(META);
        Checked standard = Checked.parse(META, standard());
        if (!Files.exists(meta)) {
            return of(standard, standard);
        }
        try {
            return of(Checked.parse(meta.toString(), Files.readString(meta)), standard);
        } catch (CharacterCodingException e) {
            throw new ConformanceException(meta + ": not text in UTF-8");
        }
    }

    private static String standard() throws IOException {
        try (InputStream stream = Machine.class.getResourceAsStream(META)) {
            return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private static Machine of(Checked meta, Checked standard) throws ConformanceException {
        checkRegisterPages(either("registerPages", meta, standard));
        Checked ram = either("ram", meta, standard);
        List<Checked> ends = ram.elements(2);
        long base = ends.get(0).number(PhysicalMemory.ADDRESS_BITS);
        long size = ends.get(1).number(PhysicalMemory.ADDRESS_BITS) - base;
        if (size <= 0) {
            throw ram.wrong("its end is not behind its start");
        }
        Map<Integer, Long> idr = numbers(standard.get("idr"));
        if (meta.has("idr")) {
            idr.putAll(numbers(meta.get("idr")));
        }
        SmmuFeatures features = features(meta, idr);
        Map<Integer, byte[]> masks = masks(standard.get("eventMask"));
        if (meta.has("eventMask")) {
            masks.putAll(masks(meta.get("eventMask")));
        }
        return new Machine(base, size, features, masks);
    }

    /** @param idr by offset, SMMU_IDR0 to SMMU_AIDR and SMMU_IDR6 */
    private static SmmuFeatures features(Checked meta, Map<Integer, Long> idr) throws ConformanceException {
        for (Map.Entry<Integer, Long> register : idr.entrySet()) {
            if (!IDENTIFICATION.contains(register.getKey())) {
                throw meta.wrong(
                        "idr: 0x%x is not the offset of an identification register".formatted(register.getKey()));
            }
        }
        if (idr.get(0x8) != 0 || idr.get(0x10) != 0) {
            throw meta.wrong("idr: SMMU_IDR2 and SMMU_IDR4 of the model are 0");
        }
        try {
            return SmmuFeatures.identifiedBy(
                    idr.get(0x0),
                    idr.get(0x4),
                    idr.get(0xc),
                    idr.get(0x14),
                    idr.getOrDefault(0x190, 0L),
                    idr.get(0x18),
                    idr.get(0x1c));
        } catch (IllegalArgumentException e) {
            throw meta.wrong("idr: " + e.getMessage());
        }
    }

    private static Checked either(String name, Checked meta, Checked standard) throws ConformanceException {
        return (meta.has(name) ? meta : standard).get(name);
    }

    /** An SMMUv3 has no others: page 1 follows page 0. */
    private static void checkRegisterPages(Checked pages) throws ConformanceException {
        List<Checked> both = pages.elements(2);
        if (both.get(0).number(64) != 0 || both.get(1).number(64) != 0x10000) {
            throw pages.wrong("the pages of registers are at 0 and 10000");
        }
    }

    private static Map<Integer, Long> numbers(Checked object) throws ConformanceException {
        Map<Integer, Long> numbers = new HashMap<>();
        for (Map.Entry<String, JsonNode> entry : object.node().properties()) {
            String name = entry.getKey();
            numbers.put(key(object, name), object.get(name).number(32));
        }
        return numbers;
    }

    private static Map<Integer, byte[]> masks(Checked object) throws ConformanceException {
        Map<Integer, byte[]> masks = new HashMap<>();
        for (Map.Entry<String, JsonNode> entry : object.node().properties()) {
            String name = entry.getKey();
            masks.put(key(object, name), object.get(name).bytes(CaseReader.EVENT_BYTES));
        }
        return masks;
    }

    private static int key(Checked object, String name) throws ConformanceException {
        try {
            return Integer.parseInt(name, 16);
        } catch (NumberFormatException e) {
            throw object.wrong("\"" + name + "\" is not a number in hex digits");
        }
    }

    /** Why the machine cannot hold a case; null if it can. */
    String cannot(ConformanceCase testCase) {
        for (Image image : testCase.memory()) {
            if (!holds(image)) {
                return "mem: there is no RAM at 0x%x".formatted(image.address());
            }
        }
        for (int i = 0; i < testCase.steps().size(); i++) {
            if (testCase.steps().get(i) instanceof ConformanceCase.WriteMemory write && !holds(write.image())) {
                return "step %d: there is no RAM at 0x%x"
                        .formatted(i, write.image().address());
            }
        }
        return null;
    }

    private boolean holds(Image image) {
        return image.address() >= ramBase && image.end() <= ramBase + ramSize;
    }

    /** Which bits of a record are to be compared; bits 7:0 of its first word are its type. */
    byte[] mask(byte[] record) {
        byte[] all = new byte[CaseReader.EVENT_BYTES];
        Arrays.fill(all, (byte) 0xff);
        return eventMasks.getOrDefault(record[0] & 0xff, all);
    }
}
