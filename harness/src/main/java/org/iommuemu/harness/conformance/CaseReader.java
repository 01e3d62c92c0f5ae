package org.iommuemu.harness.conformance;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.iommuemu.harness.conformance.ConformanceCase.Authority;
import org.iommuemu.harness.conformance.ConformanceCase.Dma;
import org.iommuemu.harness.conformance.ConformanceCase.Expected;
import org.iommuemu.harness.conformance.ConformanceCase.Image;
import org.iommuemu.harness.conformance.ConformanceCase.Outcome;
import org.iommuemu.harness.conformance.ConformanceCase.ReadRegister;
import org.iommuemu.harness.conformance.ConformanceCase.Segment;
import org.iommuemu.harness.conformance.ConformanceCase.Step;
import org.iommuemu.harness.conformance.ConformanceCase.WriteMemory;
import org.iommuemu.harness.conformance.ConformanceCase.WriteRegister;
import org.iommuemu.smmuv3.Smmu;

/** Reads the cases of a file, one JSON object per line; the format is told beside those of our tests, in vectors/README.md. */
final class CaseReader {
    static final int EVENT_BYTES = 32;

    /** More than any case needs, so that a wrong digit does not take the heap. */
    private static final int MAX_LENGTH = 1 << 20;

    private static final Set<String> INTERRUPTS = Set.of("EVTQ", "GERROR", "CMDSYNC", "PRIQ");

    private CaseReader() {}

    static List<ConformanceCase> read(Path file) throws ConformanceException, IOException {
        List<String> lines;
        try {
            lines = Files.readAllLines(file);
        } catch (CharacterCodingException e) {
            throw new ConformanceException(file + ": not text in UTF-8");
        }
        List<ConformanceCase> cases = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            if (!lines.get(i).isBlank()) {
                cases.add(parse(Checked.parse(file + ":" + (i + 1), lines.get(i))));
            }
        }
        if (cases.isEmpty()) {
            throw new ConformanceException(file + ": there is no case in it");
        }
        return cases;
    }

    private static ConformanceCase parse(Checked line) throws ConformanceException {
        String id = line.get("id").text();
        Checked json = line.at("case " + id);
        List<Image> memory = new ArrayList<>();
        for (Checked image : json.get("mem").elements()) {
            List<Checked> pair = image.elements(2);
            memory.add(image(image, pair.get(0), pair.get(1)));
        }
        List<Step> steps = new ArrayList<>();
        List<Checked> elements = json.get("steps").elements();
        for (int i = 0; i < elements.size(); i++) {
            steps.add(step(
                    new Checked(json.at("step " + i).where(), elements.get(i).node())));
        }
        return new ConformanceCase(id, json.get("category").text(), authority(json.get("authority")), memory, steps);
    }

    private static Authority authority(Checked json) throws ConformanceException {
        for (Authority authority : Authority.values()) {
            if (authority.toString().equals(json.text())) {
                return authority;
            }
        }
        throw json.wrong("\"" + json.text() + "\" is not architecture, permitted or qemu-only");
    }

    private static Image image(Checked whole, Checked address, Checked bytes) throws ConformanceException {
        Image image = new Image(address.number(64), bytes.bytes());
        if (image.address() < 0 || image.end() < 0) {
            throw whole.wrong("0x%x is not an address".formatted(image.address()));
        }
        return image;
    }

    private static Step step(Checked json) throws ConformanceException {
        Expected expected = expected(json);
        String op = json.get("op").text();
        return switch (op) {
            case "w32" ->
                new WriteRegister(expected, 4, offset(json, 4), json.get("val").number(32));
            case "w64" ->
                new WriteRegister(expected, 8, offset(json, 8), json.get("val").number(64));
            case "r32" -> read(json, expected, 4);
            case "r64" -> read(json, expected, 8);
            case "mem" -> new WriteMemory(expected, image(json, json.get("addr"), json.get("data")));
            case "dma" -> dma(json, expected);
            default -> throw json.wrong("op \"" + op + "\" is not w32, w64, r32, r64, mem or dma");
        };
    }

    private static Expected expected(Checked json) throws ConformanceException {
        Authority authority = json.has("auth") ? authority(json.get("auth")) : Authority.ARCHITECTURE;
        return new Expected(
                authority, interrupts(json, "irq"), json.has("irqArch") ? interrupts(json, "irqArch") : null);
    }

    private static List<String> interrupts(Checked json, String name) throws ConformanceException {
        List<String> names = new ArrayList<>();
        for (Checked element : json.elements(name)) {
            if (!INTERRUPTS.contains(element.text())) {
                throw element.wrong("there is no interrupt " + element.text());
            }
            names.add(element.text());
        }
        return names.stream().distinct().sorted().toList();
    }

    private static long offset(Checked json, int size) throws ConformanceException {
        long offset = json.get("off").number(32);
        if (offset > Smmu.WINDOW - size) {
            throw json.wrong("offset 0x%x is beyond the registers, 0x%x bytes".formatted(offset, Smmu.WINDOW));
        }
        return offset;
    }

    private static ReadRegister read(Checked json, Expected expected, int size) throws ConformanceException {
        int bits = 8 * size;
        long all = -1L >>> 64 - bits;
        List<Long> permitted = new ArrayList<>();
        for (Checked other : json.elements("alts")) {
            permitted.add(value(other, bits));
        }
        return new ReadRegister(
                expected,
                size,
                offset(json, size),
                json.get("exp").number(bits),
                permitted,
                json.has("arch") ? value(json.get("arch"), bits) : null,
                json.has("mask") ? json.get("mask").number(64) & all : all);
    }

    /** {"exp": value}, or the value itself. */
    private static long value(Checked json, int bits) throws ConformanceException {
        return json.node().isObject() ? json.get("exp").number(bits) : json.number(bits);
    }

    private static Dma dma(Checked json, Expected expected) throws ConformanceException {
        String direction = json.get("dir").text();
        if (!direction.equals("r") && !direction.equals("w")) {
            throw json.wrong("dir \"" + direction + "\" is not r or w");
        }
        int length = json.get("len").integer(1, MAX_LENGTH);
        byte[] data = direction.equals("w") ? json.get("data").bytes(length) : null;
        List<Outcome> permitted = new ArrayList<>();
        for (Checked other : json.elements("alts")) {
            permitted.add(outcome(other, length));
        }
        return new Dma(
                expected,
                (int) json.get("sid").number(32),
                json.get("iova").number(64),
                length,
                data,
                outcome(json.get("exp"), length),
                permitted,
                json.has("arch") ? outcome(json.get("arch"), length) : null);
    }

    private static Outcome outcome(Checked json, int length) throws ConformanceException {
        List<Segment> segments = null;
        if (json.has("segs")) {
            segments = new ArrayList<>();
            for (Checked segment : json.get("segs").elements()) {
                List<Checked> pair = segment.elements(2);
                Segment.append(segments, pair.get(0).number(52), pair.get(1).integer(1, length));
            }
        }
        return new Outcome(
                json.get("ok").integer(0, 1) == 1,
                segments,
                json.has("data") ? json.get("data").bytes(length) : null,
                records(json, "ev"),
                json.has("qev") ? records(json, "qev") : null);
    }

    private static List<byte[]> records(Checked json, String name) throws ConformanceException {
        List<byte[]> records = new ArrayList<>();
        for (Checked element : json.elements(name)) {
            records.add(element.bytes(EVENT_BYTES));
        }
        return records;
    }
}
