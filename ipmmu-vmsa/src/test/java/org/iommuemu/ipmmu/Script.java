package org.iommuemu.ipmmu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.HashMap;
import java.util.Map;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Translation;

/**
 * A register-access sequence as text, one step or check at a time, separated by semicolons or line ends:
 *
 * <pre>
 * R IMCTR(1) <- 7            a write; R: root, C: first cache, D: second cache, RS and CS: as secure software sees them
 * R IMSTR(1) -> s            a read, kept as $s
 * R IMCTR(1) = 5             a read that must give this
 * R IMCTR(1) <- $s | 2       values: hex or decimal, $name, joined from left to right by | & &~
 * map 0x1000 $page           memory only: a page in Linux' table at $table
 * unmap 0x1000
 * dma C 35 0x1000 = $page    a read by the master at micro-TLB 35 of the first cache; "abort" if it gets an error
 * write C 35 0x1000 = $page  a write
 * secure C 3 0x1000 = $page  a write by a secure master
 * irq = 1                    the non-secure interrupt; irqs: the secure one
 * power C 0                  the power domain
 * </pre>
 */
final class Script {
    private static final Map<String, Integer> CONTEXT = Map.ofEntries(
            Map.entry("IMCTR", 0x00),
            Map.entry("IMTTBCR", 0x08),
            Map.entry("IMBUSCR", 0x0c),
            Map.entry("IMTTLBR0", 0x10),
            Map.entry("IMTTUBR0", 0x14),
            Map.entry("IMTTLBR1", 0x18),
            Map.entry("IMTTUBR1", 0x1c),
            Map.entry("IMSTR", 0x20),
            Map.entry("IMMAIR0", 0x28),
            Map.entry("IMMAIR1", 0x2c),
            Map.entry("IMELAR", 0x30),
            Map.entry("IMEUAR", 0x34));

    private final Board board;
    private final Map<String, Long> values = new HashMap<>();

    Script(Board board) {
        this.board = board;
    }

    Board board() {
        return board;
    }

    Script let(String name, long value) {
        values.put(name, value);
        return this;
    }

    Script run(String text) {
        for (String statement : text.split("[;\n]")) {
            if (!statement.isBlank()) {
                step(statement.strip());
            }
        }
        return this;
    }

    private void step(String statement) {
        String[] w = statement.split("\\s+");
        switch (w[0]) {
            case "map" -> board.mapLinux(value("$table"), value(w[1]), value(w[2]), Board.LINUX_RAM);
            case "unmap" -> board.unmapLinux(value("$table"), value(w[1]));
            case "irq" -> assertEquals(value(w[2]) != 0, board.interrupt(), statement);
            case "irqs" -> assertEquals(value(w[2]) != 0, board.secureInterrupt(), statement);
            case "misuse" -> assertEquals((int) value(w[2]), board.misuse.size(), () -> statement + board.misuse);
            case "power" -> unit(w[1]).power(value(w[2]) != 0);
            case "dma" -> access(statement, w, Access.READ);
            case "write" -> access(statement, w, Access.WRITE);
            case "secure" -> access(statement, w, Access.SECURE | Access.WRITE);
            default -> register(statement, w);
        }
    }

    private void access(String statement, String[] w, int access) {
        long address = value(w[3]);
        long translation = unit(w[1]).translate((int) value(w[2]), -1, address, access);
        String expected = w[5].equals("abort") ? "abort" : Long.toHexString(value(w[5]));
        String actual = Translation.translated(translation)
                ? Long.toHexString(Translation.address(translation, address))
                : "abort";
        assertEquals(expected, actual, statement);
    }

    private Ipmmu unit(String name) {
        return switch (name) {
            case "R" -> board.root;
            case "C" -> board.ds0;
            case "D" -> board.ds1;
            default -> throw new IllegalArgumentException(name);
        };
    }

    private void register(String statement, String[] w) {
        Board.Unit unit =
                switch (w[0]) {
                    case "R" -> board.r;
                    case "C" -> board.c;
                    case "D" -> board.c1;
                    case "RS" -> board.rs;
                    case "CS" -> board.cs;
                    default -> throw new IllegalArgumentException(statement);
                };
        int offset = offset(w[1]);
        switch (w[2]) {
            case "<-" -> unit.write(offset, (int) value(w, 3));
            case "->" -> values.put(w[3], unit.read(offset) & 0xffff_ffffL);
            case "=" ->
                assertEquals(Integer.toHexString((int) value(w, 3)), Integer.toHexString(unit.read(offset)), statement);
            default -> throw new IllegalArgumentException(statement);
        }
    }

    private int offset(String register) {
        int open = register.indexOf('(');
        String name = open < 0 ? register : register.substring(0, open);
        int index = open < 0 ? 0 : (int) value(register.substring(open + 1, register.length() - 1));
        return switch (name) {
            case "IMUCTR" -> board.variant.utlbOffset(index);
            case "IMUASID" -> board.variant.utlbOffset(index) + 8;
            case "IMSCTLR" -> board.variant.controlOffset() + 0x500;
            case "IMSAUXCTLR" -> board.variant.controlOffset() + 0x504;
            default -> board.variant.contextOffset(index) + CONTEXT.get(name);
        };
    }

    private long value(String[] words, int from) {
        long value = value(words[from]);
        for (int i = from + 1; i < words.length; i += 2) {
            long next = value(words[i + 1]);
            value = switch (words[i]) {
                case "|" -> value | next;
                case "&" -> value & next;
                case "&~" -> value & ~next;
                default -> throw new IllegalArgumentException(words[i]);
            };
        }
        return value;
    }

    private long value(String word) {
        return word.startsWith("$") ? values.get(word.substring(1)) : Long.decode(word);
    }
}
