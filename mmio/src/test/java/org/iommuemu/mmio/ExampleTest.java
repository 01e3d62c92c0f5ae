package org.iommuemu.mmio;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class ExampleTest {
    private final List<String> handled = new ArrayList<>();

    @Test
    void theReadmesExampleRuns() {
        Field start = Field.busy("GO", 31);
        Register control = Register.word("CONTROL", 0x0, Field.rw("EN", 0), start);
        Register ack = Register.acknowledge("CONTROL_ACK", 0x4, control);
        RegisterFile unit =
                new RegisterFile(new RegisterMap(0x1000, List.of(control, ack)), "unit", MisuseListener.NONE);
        InterruptController interrupts = new InterruptController();
        unit.onWrite(control, (before, after) -> {
            if (start.isSet(after)) {
                interrupts.raise(42);
            }
        });
        Bus bus = new Bus(new PhysicalMemory());
        bus.attach("/unit@1000", 0x1000, 0x1000, unit);

        interrupts.request(42, () -> handled.add("done"));
        bus.write32(0x1000, 0x8000_0001);
        interrupts.dispatch();

        assertEquals(List.of("done"), handled);
        assertEquals(1, bus.read32(0x1000), "the operation is over");
        assertEquals(1, bus.read32(0x1004), "and acknowledged");
    }
}
