package org.iommuemu.harness.qtest;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/**
 * QEMU's monitor protocol (QEMU documentation, interop/qmp-spec), as far as qtest programs need it: the handshake, what
 * machines, types and objects there are, whether the machine runs, and the end. One client's conversation.
 */
final class Qmp {
    /** What the monitor can change. */
    interface Control {
        /** Whether the machine runs. */
        boolean running();

        /** Lets the machine run, or not. */
        void run(boolean on);

        /** Ends the process. */
        void quit();
    }

    private static final JsonMapper JSON =
            JsonMapper.builder().enable(JsonReadFeature.ALLOW_SINGLE_QUOTES).build();

    /** Types and what they are, the nearest first. */
    private static final List<List<String>> TYPES = List.of(
            List.of("edu", "pci-device", "device", "object"),
            List.of("iommu-testdev", "pci-device", "device", "object"),
            List.of("gpex-root", "pci-device", "device", "object"),
            List.of("arm-smmuv3", "arm-smmu", "sys-bus-device", "device", "object"),
            List.of("gpex-pcihost", "pcie-host-bridge", "pci-host-bridge", "sys-bus-device", "device", "object"),
            List.of("arm-gicv2m", "sys-bus-device", "device", "object"),
            List.of("virt-7.2-machine", "virt-machine", "machine", "object"),
            List.of("none-machine", "machine", "object"));

    private static final Set<String> PCI_INTERFACES = Set.of("conventional-pci-device");

    private static final List<String> COMMANDS = List.of(
            "qmp_capabilities",
            "query-commands",
            "query-version",
            "query-status",
            "query-machines",
            "query-target",
            "query-kvm",
            "query-name",
            "qom-list",
            "qom-list-types",
            "qom-get",
            "stop",
            "cont",
            "quit");

    /** What is wrong with a command. */
    private static final class Refusal extends Exception {
        private static final long serialVersionUID = 1;
        private final String kind;

        Refusal(String kind, String description) {
            super(description, null, false, false);
            this.kind = kind;
        }
    }

    private final VirtMachine machine;
    private final Control control;
    private boolean negotiated;

    Qmp(VirtMachine machine, Control control) {
        this.machine = machine;
        this.control = control;
    }

    /** The first line, before any command. */
    String greeting() {
        ObjectNode greeting = JSON.createObjectNode();
        ObjectNode qmp = greeting.putObject("QMP");
        qmp.set("version", version());
        qmp.putArray("capabilities");
        return greeting.toString();
    }

    /**
     * Carries out a command.
     *
     * @param text of one JSON value
     * @return the lines that go back: events, and the answer last but for the end of the process
     */
    List<String> answer(String text) {
        List<String> lines = new ArrayList<>();
        ObjectNode answer = JSON.createObjectNode();
        JsonNode id = null;
        try {
            JsonNode command = parse(text);
            id = command.get("id");
            answer.set("return", carryOut(command, lines));
        } catch (Refusal e) {
            ObjectNode error = answer.putObject("error");
            error.put("class", e.kind);
            error.put("desc", e.getMessage());
        }
        if (id != null) {
            answer.set("id", id);
        }
        lines.add(answer.toString());
        return lines;
    }

    private static JsonNode parse(String text) throws Refusal {
        try {
            JsonNode command = JSON.readTree(text);
            if (command.isObject() && command.path("execute").isTextual()) {
                return command;
            }
            throw new Refusal("GenericError", "QMP input is an object with a member 'execute'");
        } catch (JsonProcessingException e) {
            throw new Refusal("GenericError", "JSON parse error, " + e.getOriginalMessage());
        }
    }

    private JsonNode carryOut(JsonNode command, List<String> events) throws Refusal {
        String name = command.get("execute").textValue();
        JsonNode arguments = command.path("arguments");
        if (name.equals("qmp_capabilities") == negotiated && COMMANDS.contains(name)) {
            throw new Refusal(
                    "CommandNotFound",
                    negotiated
                            ? "Capabilities negotiation is already complete, command ignored"
                            : "Expecting capabilities negotiation with 'qmp_capabilities'");
        }
        return switch (name) {
            case "qmp_capabilities" -> {
                negotiated = true;
                yield JSON.createObjectNode();
            }
            case "query-commands" -> names(COMMANDS);
            case "query-version" -> version();
            case "query-status" -> status();
            case "query-machines" -> machines();
            case "query-target" -> JSON.createObjectNode().put("arch", "aarch64");
            case "query-kvm" -> JSON.createObjectNode().put("enabled", false).put("present", false);
            case "query-name" -> JSON.createObjectNode();
            case "qom-list" -> list(required(arguments, "path"));
            case "qom-list-types" -> types(arguments);
            case "qom-get" -> get(required(arguments, "path"), required(arguments, "property"));
            case "stop" -> run(false, events);
            case "cont" -> run(true, events);
            case "quit" -> {
                control.quit();
                yield JSON.createObjectNode();
            }
            default -> throw new Refusal("CommandNotFound", "The command " + name + " has not been found");
        };
    }

    private static String required(JsonNode arguments, String name) throws Refusal {
        JsonNode value = arguments.path(name);
        if (!value.isTextual()) {
            throw new Refusal("GenericError", "Parameter '" + name + "' is missing");
        }
        return value.textValue();
    }

    private static ArrayNode names(List<String> names) {
        ArrayNode array = JSON.createArrayNode();
        names.forEach(name -> array.addObject().put("name", name));
        return array;
    }

    private static ObjectNode version() {
        ObjectNode version = JSON.createObjectNode();
        version.putObject("qemu").put("micro", 0).put("minor", 2).put("major", 7);
        version.put("package", "iommu-emu");
        return version;
    }

    private JsonNode status() {
        boolean running = control.running();
        return JSON.createObjectNode()
                .put("status", running ? "running" : "paused")
                .put("singlestep", false)
                .put("running", running);
    }

    private JsonNode run(boolean on, List<String> events) {
        if (control.running() != on) {
            control.run(on);
            Instant now = Instant.now();
            ObjectNode event = JSON.createObjectNode();
            event.putObject("timestamp").put("seconds", now.getEpochSecond()).put("microseconds", now.getNano() / 1000);
            events.add(event.put("event", on ? "RESUME" : "STOP").toString());
        }
        return JSON.createObjectNode();
    }

    private static JsonNode machines() {
        ArrayNode machines = JSON.createArrayNode();
        machine(machines, "virt-7.2", 512).put("alias", "virt");
        machine(machines, "none", 1);
        return machines;
    }

    private static ObjectNode machine(ArrayNode machines, String name, int cpus) {
        return machines.addObject()
                .put("name", name)
                .put("hotpluggable-cpus", false)
                .put("numa-mem-supported", false)
                .put("cpu-max", cpus)
                .put("deprecated", false);
    }

    private static JsonNode types(JsonNode arguments) {
        String wanted = arguments.path("implements").asText("object");
        ArrayNode types = JSON.createArrayNode();
        for (List<String> type : TYPES) {
            if (type.contains(wanted) || PCI_INTERFACES.contains(wanted) && type.contains("pci-device")) {
                types.addObject().put("name", type.get(0)).put("parent", type.get(1));
            }
        }
        return types;
    }

    private JsonNode list(String path) throws Refusal {
        Set<String> children = new TreeSet<>();
        if (path.equals("/machine")) {
            children.addAll(Set.of("unattached", "peripheral", "peripheral-anon"));
        }
        boolean folder = !children.isEmpty() || path.matches("/machine/(unattached|peripheral|peripheral-anon)");
        ArrayNode properties = JSON.createArrayNode();
        properties.addObject().put("name", "type").put("type", "string");
        children.forEach(name -> properties.addObject().put("name", name).put("type", "child<container>"));
        for (QomDevice device : machine.devices()) {
            if (device.parent().equals(path)) {
                properties.addObject().put("name", device.name()).put("type", "child<" + device.type() + ">");
            }
        }
        if (!folder && machine.device(path).isEmpty()) {
            throw noDevice(path);
        }
        return properties;
    }

    private JsonNode get(String path, String property) throws Refusal {
        QomDevice device = machine.device(path).orElseThrow(() -> noDevice(path));
        if (!property.equals("type")) {
            throw new Refusal("GenericError", "Property '%s.%s' not found".formatted(device.type(), property));
        }
        return JSON.getNodeFactory().textNode(device.type());
    }

    private static Refusal noDevice(String path) {
        return new Refusal("DeviceNotFound", "Device '" + path + "' not found");
    }
}
