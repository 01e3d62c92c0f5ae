package org.iommuemu.harness.qtest;

import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import org.iommuemu.mmio.InterruptController;

/** What the protocol does with interrupts: it tells those of one device's pins, and drives pins. */
final class Intercept {
    private static final String UNNAMED = "unnamed-gpio-in";

    private final VirtMachine machine;
    private final Consumer<String> events;

    /** Pins that have been driven by command, by interrupt number. */
    private final Map<Integer, InterruptController.Line> driven = new HashMap<>();

    private final BitSet levels = new BitSet();
    private QomDevice device;
    private QomDevice.Pins pins = QomDevice.Pins.NONE;

    Intercept(VirtMachine machine, Consumer<String> events) {
        this.machine = machine;
        this.events = events;
        machine.interrupts().addListener(this::changed);
    }

    void forgetLevels() {
        levels.clear();
    }

    private void changed(int number, boolean level) {
        int pin = number - pins.first();
        if (pins.has(number) && levels.get(pin) != level) {
            levels.set(pin, level);
            events.accept("IRQ " + (level ? "raise " : "lower ") + pin);
        }
    }

    String inputs(String path, boolean named) {
        Optional<QomDevice> found = machine.device(path);
        if (found.isEmpty()) {
            return "FAIL Unknown device";
        }
        if (named) {
            return "FAIL Interception of named in-GPIOs not yet supported";
        }
        return install(found.get(), found.get().inputs(), found.get().hasPins());
    }

    /** @param name of the outputs; null for those without one */
    String outputs(String path, String name) {
        Optional<QomDevice> found = machine.device(path);
        if (found.isEmpty()) {
            return "FAIL Unknown device";
        }
        boolean outputs = found.get().outputs().count() > 0 && QomDevice.OUTPUT.equals(name);
        boolean unnamedList = found.get().inputs().count() > 0 && name == null;
        return install(found.get(), outputs ? found.get().outputs() : QomDevice.Pins.NONE, outputs || unnamedList);
    }

    private String install(QomDevice wanted, QomDevice.Pins wantedPins, boolean possible) {
        if (device != null) {
            return device.equals(wanted) ? "OK" : "FAIL IRQ intercept already enabled";
        }
        if (!possible) {
            return "FAIL No intercepts installed";
        }
        device = wanted;
        pins = wantedPins;
        return "OK";
    }

    String set(String path, String name, int pin, int level) {
        Optional<QomDevice> found = machine.device(path);
        if (found.isEmpty()) {
            return "FAIL Unknown device";
        }
        QomDevice.Pins inputs = found.get().inputs();
        if (!name.equals(UNNAMED) || pin < 0 || pin >= inputs.count()) {
            return "ERR set_irq_in: %s has no input %s %d".formatted(path, name, pin);
        }
        driven.computeIfAbsent(inputs.first() + pin, machine.interrupts()::line).set(level != 0);
        return "OK";
    }
}
