package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.Latency;
import org.iommuemu.mmio.TlbGeometry;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** The conformance vectors, one test per category; see {@code vectors/README.md}. */
class ConformanceVectorTest {
    private static final List<String> CATEGORIES = List.of(
            "ars",
            "cd",
            "cfgcache",
            "cmdq-flow",
            "cmdq-illegal",
            "cmdq-unsupported",
            "cmdq-valid",
            "eventq",
            "fault",
            "hi-va",
            "irq",
            "long-dma",
            "multi",
            "reg-reset",
            "reg-ro",
            "reg-rw",
            "smmuen",
            "ste",
            "strtab",
            "tlb",
            "tlb-fill",
            "walk-4k",
            "walk-16k",
            "walk-64k");

    /** Cases that the model does not pass, by id, and why. */
    private static final Map<String, String> EXCEPTIONS = Map.of();

    private static final ObjectMapper JSON = new ObjectMapper();

    private final JsonNode meta = read("meta.json").get(0);

    /** The hardware that drivers meet may cache much, little or nothing: the outcomes are the same, or permitted ones. */
    private enum Caches {
        ORDINARY(TlbGeometry.of(512, 4), DmaPort.MICRO_TLB),
        NONE(
                TlbGeometry.of(1, 1).with(TlbGeometry.Replacement.NEVER_CACHE),
                TlbGeometry.of(1, 1).with(TlbGeometry.Replacement.NEVER_CACHE)),
        ONE_ENTRY(TlbGeometry.of(1, 1), TlbGeometry.of(1, 1)),
        FOR_EVER(
                TlbGeometry.of(1024, 8).with(TlbGeometry.Replacement.CACHE_FOR_EVER),
                TlbGeometry.of(64, 64).with(TlbGeometry.Replacement.CACHE_FOR_EVER));

        private final TlbGeometry tlb;
        private final TlbGeometry microTlb;

        Caches(TlbGeometry tlb, TlbGeometry microTlb) {
            this.tlb = tlb;
            this.microTlb = microTlb;
        }
    }

    @TestFactory
    Stream<DynamicTest> replays() {
        return Arrays.stream(Caches.values()).flatMap(caches -> CATEGORIES.stream()
                .map(category -> DynamicTest.dynamicTest(
                        category + ", " + caches, () -> replay(category, caches, Timing.IMMEDIATE))));
    }

    @TestFactory
    Stream<DynamicTest> replaysWithCommandsThatTakeAWhile() {
        Timing late = Timing.IMMEDIATE.synchronisation(Latency.reads(2));
        return Stream.of(late, late.onUnitThread(), Timing.IMMEDIATE.onUnitThread())
                .flatMap(timing -> CATEGORIES.stream()
                        .map(category -> DynamicTest.dynamicTest(
                                category + ", " + timing, () -> replay(category, Caches.ORDINARY, timing))));
    }

    private void replay(String category, Caches caches, Timing timing) {
        SmmuFeatures features =
                SmmuFeatures.qemuVirt().toBuilder().tlb(caches.tlb).build();
        List<String> failures = new ArrayList<>();
        for (JsonNode testCase : read(category + ".jsonl")) {
            String id = testCase.get("id").asText();
            List<String> differences = new VectorReplay(meta, features, caches.microTlb, timing).replay(testCase);
            if (!differences.isEmpty() && !EXCEPTIONS.containsKey(id)) {
                failures.add("%s (%s, %s): %s"
                        .formatted(
                                id,
                                testCase.path("desc").asText(),
                                testCase.get("authority").asText(),
                                differences));
            }
        }
        assertEquals("", String.join("\n", failures));
    }

    @Test
    void identifiesAsTheMachineOfTheVectors() {
        SmmuFeatures features = SmmuFeatures.qemuVirt();
        assertEquals(idr("0"), features.idr0());
        assertEquals(idr("4"), features.idr1());
        assertEquals(idr("c"), features.idr3());
        assertEquals(idr("14"), features.idr5());
        assertEquals(idr("18"), features.iidr());
        assertEquals(idr("1c"), features.aidr());
    }

    private long idr(String offset) {
        return Long.parseLong(meta.get("idr").get(offset).asText(), 16);
    }

    private static List<JsonNode> read(String name) {
        try (InputStream stream = ConformanceVectorTest.class.getResourceAsStream("/vectors/" + name)) {
            List<JsonNode> documents = new ArrayList<>();
            BufferedReader reader = new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8));
            if (name.endsWith(".json")) {
                documents.add(JSON.readTree(reader));
            } else {
                for (String line; (line = reader.readLine()) != null; ) {
                    documents.add(JSON.readTree(line));
                }
            }
            return documents;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
