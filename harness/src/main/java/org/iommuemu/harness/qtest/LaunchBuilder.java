package org.iommuemu.harness.qtest;

import java.math.BigDecimal;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.iommuemu.harness.pcie.EduDevice;

/**
 * Reads QEMU's options one by one, in their own syntax. What changes nothing that a qtest program could see is accepted
 * without effect; what would, and is not modelled, is refused.
 */
public final class LaunchBuilder {
    private static final long MIB = 1L << 20;
    private static final Pattern VIRT = Pattern.compile("virt(?:-(\\d+)\\.(\\d+))?");
    private static final Pattern SIZE = Pattern.compile("([0-9]+(?:\\.[0-9]+)?|0[xX][0-9a-fA-F]+)([bBkKmMgGtT]?)");
    private static final Pattern SLOT = Pattern.compile("(?:0[xX])?([0-9a-fA-F]{1,2})(?:\\.([0-7]))?");

    /** Properties of {@code virt} that change nothing here. */
    private static final Set<String> MACHINE_IGNORED = Set.of(
            "acpi",
            "virtualization",
            "secure",
            "ras",
            "mte",
            "msi",
            "usb",
            "graphics",
            "dtb-randomness",
            "dtb-kaslr-seed",
            "dump-guest-core",
            "mem-merge",
            "suppress-vmdesc",
            "compact-highmem",
            "highmem-redists",
            "kernel-irqchip",
            "memory-encryption",
            "hmat",
            "nvdimm",
            "x-oem-id",
            "x-oem-table-id");

    private final Map<String, String> machine = new LinkedHashMap<>();
    private final List<MachineConfig.Device> devices = new ArrayList<>();
    private final Map<String, Chardev> chardevs = new LinkedHashMap<>();
    private final List<String> monitorIds = new ArrayList<>();
    private final List<Chardev> monitors = new ArrayList<>();
    private final List<String> otherIds = new ArrayList<>();
    private final List<Chardev> others = new ArrayList<>();

    private String kind;
    private long ramSize;
    private int cpus = 1;
    private boolean networkCard;
    private boolean meet;
    private String accelerator;
    private MachineConfig.Stages stages;
    private long dmaMask = EduDevice.DMA_MASK;
    private String qtest;
    private Path qtestLog;
    private boolean running = true;
    private boolean misuse;

    private LaunchBuilder() {}

    /** As QEMU: no machine, no SMMU and 128 MiB of RAM where nobody says otherwise, and a network card in slot 1. */
    public static LaunchBuilder likeQemu() {
        LaunchBuilder builder = new LaunchBuilder();
        builder.ramSize = 128 * MIB;
        builder.networkCard = true;
        return builder;
    }

    /**
     * {@code virt} with an SMMU and 1 GiB of RAM where nobody says otherwise, and nothing that was not asked for. A socket
     * for qtest that nobody listens on is one to listen on.
     */
    public static LaunchBuilder withSmmu() {
        LaunchBuilder builder = new LaunchBuilder();
        builder.ramSize = 1024 * MIB;
        builder.kind = "virt";
        builder.meet = true;
        builder.machine.put("iommu", "smmuv3");
        return builder;
    }

    /** {@code -machine}; a later one adds to an earlier one. */
    public void machine(String text) {
        KeyValues values = KeyValues.parse("-machine", text, "type");
        String type = values.take("type");
        if (type != null) {
            kind = type;
        }
        machine.putAll(values.rest());
    }

    /** {@code -m}. */
    public void memory(String text) {
        KeyValues values = KeyValues.parse("-m", text, "size");
        String size = values.take("size");
        values.ignore(Set.of("slots", "maxmem"));
        values.nothingLeft("RAM");
        if (size != null) {
            Matcher matcher = SIZE.matcher(size);
            if (!matcher.matches()) {
                throw new MachineException("-m %s: it is no size, as 512, 512M or 1G".formatted(text));
            }
            int shift = "bkmgt"
                    .indexOf(matcher.group(2).isEmpty() ? "m" : matcher.group(2).toLowerCase(Locale.ROOT));
            BigDecimal number = matcher.group(1).matches("0[xX].*")
                    ? new BigDecimal(Numbers.parse(matcher.group(1)).orElse(-1))
                    : new BigDecimal(matcher.group(1));
            BigDecimal bytes = number.multiply(BigDecimal.valueOf(1L << 10 * shift));
            if (bytes.signum() <= 0 || bytes.compareTo(BigDecimal.valueOf(1L << 46)) > 0) {
                throw new MachineException("-m %s: there can be 8 KiB to 64 TiB of RAM".formatted(text));
            }
            ramSize = bytes.longValue() + 0x1fff & -0x2000L;
        }
    }

    /** {@code -smp}. */
    public void cpus(String text) {
        KeyValues values = KeyValues.parse("-smp", text, "cpus");
        OptionalLong number = Numbers.parse(values.take("cpus", "1"));
        if (number.isEmpty() || number.getAsLong() < 1 || number.getAsLong() > 512) {
            throw new MachineException("-smp %s: there can be 1 to 512 CPUs".formatted(text));
        }
        cpus = (int) number.getAsLong();
    }

    /** {@code -accel}. */
    public void accelerator(String text) {
        KeyValues values = KeyValues.parse("-accel", text, "accel");
        accelerator = values.take("accel");
    }

    /** {@code -net} and {@code -nic}: there is no network; {@code none} frees the default network card's slot. */
    public void net(String option, String text) {
        if (!text.equals("none")) {
            throw new MachineException("%s %s: there is no network; it is none".formatted(option, text));
        }
        networkCard = false;
    }

    /** {@code -nodefaults}. */
    public void noDefaults() {
        networkCard = false;
    }

    /** {@code -global DRIVER.PROPERTY=VALUE}. */
    public void global(String text) {
        Matcher matcher = Pattern.compile("(?:driver=)?([^.=,]+)(?:\\.|,property=)([^=,]+)(?:=|,value=)(.*)")
                .matcher(text);
        if (!matcher.matches()) {
            throw new MachineException("-global %s: it is DRIVER.PROPERTY=VALUE".formatted(text));
        }
        switch (matcher.group(1) + "." + matcher.group(2)) {
            case "arm-smmuv3.stage" -> stages = MachineConfig.Stages.of("-global", matcher.group(3));
            case "edu.dma_mask" -> dmaMask = dmaMask("-global", matcher.group(3));
            default ->
                throw new MachineException(
                        "-global %s: the only ones are arm-smmuv3.stage and edu.dma_mask".formatted(text));
        }
    }

    private static long dmaMask(String option, String text) {
        return Numbers.parse(text)
                .orElseThrow(() -> new MachineException("%s: dma_mask=%s: it is no number".formatted(option, text)));
    }

    /** {@code -device}. */
    public void device(String text) {
        String option = "-device " + text;
        KeyValues values = KeyValues.parse(option, text, "driver");
        String driver = values.take("driver");
        MachineConfig.Model model = null;
        for (MachineConfig.Model known : MachineConfig.Model.values()) {
            model = known.toString().equals(driver) ? known : model;
        }
        if (model == null) {
            throw new MachineException(
                    "%s: '%s' is no device that there is: edu, iommu-testdev, arm-smmuv3".formatted(option, driver));
        }
        String id = values.take("id");
        if (id != null && devices.stream().anyMatch(other -> id.equals(other.id()))) {
            throw new MachineException("%s: there is another device with id '%s'".formatted(option, id));
        }
        if (model == MachineConfig.Model.ARM_SMMUV3) {
            smmuDevice(option, values, id);
            return;
        }
        String address = values.take("addr");
        OptionalInt devfn = address == null ? OptionalInt.empty() : OptionalInt.of(devfn(option, address));
        String bus = values.take("bus", "pcie.0");
        if (!bus.equals("pcie.0") && !bus.equals("pcie")) {
            throw new MachineException("%s: there is no bus '%s', only pcie.0".formatted(option, bus));
        }
        boolean multiFunction = values.takeSwitch("multifunction", false);
        String mask = model == MachineConfig.Model.EDU ? values.take("dma_mask") : null;
        values.ignore(Set.of("rombar", "romfile"));
        values.nothingLeft(driver);
        devices.add(new MachineConfig.Device(
                model,
                id,
                devfn,
                multiFunction,
                mask == null ? OptionalLong.empty() : OptionalLong.of(dmaMask(option, mask))));
    }

    private void smmuDevice(String option, KeyValues values, String id) {
        String bus = values.take("primary-bus");
        if (bus == null || !bus.equals("pcie.0")) {
            throw new MachineException(option + ": it needs primary-bus=pcie.0");
        }
        if (devices.stream().anyMatch(other -> other.model() == MachineConfig.Model.ARM_SMMUV3)) {
            throw new MachineException(option + ": pcie.0 has an SMMU already");
        }
        String stage = values.take("stage");
        if (stage != null) {
            stages = MachineConfig.Stages.of(option, stage);
        }
        values.nothingLeft("arm-smmuv3");
        devices.add(new MachineConfig.Device(
                MachineConfig.Model.ARM_SMMUV3, id, OptionalInt.empty(), false, OptionalLong.empty()));
    }

    /** {@code SLOT[.FUNCTION]}, hexadecimal. */
    private static int devfn(String option, String address) {
        Matcher matcher = SLOT.matcher(address);
        int slot = matcher.matches() ? Integer.parseInt(matcher.group(1), 16) : -1;
        if (slot < 0 || slot > 0x1f) {
            throw new MachineException(
                    "%s: addr=%s: it is SLOT or SLOT.FUNCTION, 0 to 1f and 0 to 7".formatted(option, address));
        }
        return slot << 3 | (matcher.group(2) == null ? 0 : Integer.parseInt(matcher.group(2)));
    }

    /** {@code -chardev}. */
    public void chardev(String text) {
        String option = "-chardev " + text;
        KeyValues values = KeyValues.parse(option, text, "backend");
        String id = values.take("id");
        if (id == null) {
            throw new MachineException(option + ": it needs an id");
        }
        if (chardevs.putIfAbsent(id, Chardev.of(option, values)) != null) {
            throw new MachineException("%s: there is another one with id '%s'".formatted(option, id));
        }
    }

    /** {@code -mon}. */
    public void mon(String text) {
        KeyValues values = KeyValues.parse("-mon", text, "chardev");
        String id = values.take("chardev");
        String mode = values.take("mode", "readline");
        values.ignore(Set.of("pretty"));
        values.nothingLeft("a monitor");
        if (id == null || !mode.equals("control")) {
            throw new MachineException("-mon %s: it is chardev=ID,mode=control".formatted(text));
        }
        monitorIds.add(id);
    }

    /** {@code -qmp}. */
    public void qmp(String text) {
        if (text.startsWith("chardev:")) {
            monitorIds.add(text.substring("chardev:".length()));
        } else {
            monitors.add(Chardev.ofShortForm("-qmp", text));
        }
    }

    /** {@code -serial} and the like: opened, and silent. */
    public void silent(String option, String text) {
        if (text.startsWith("chardev:")) {
            otherIds.add(text.substring("chardev:".length()));
        } else {
            others.add(Chardev.ofShortForm(option, text));
        }
    }

    /** {@code -qtest}. */
    public void qtest(String text) {
        qtest = text;
    }

    /** {@code -qtest-log}. */
    public void qtestLog(String file) {
        qtestLog = file.equals("none") ? null : Path.of(file);
    }

    /** {@code -S}. */
    public void stopped() {
        running = false;
    }

    /** {@code -d}: the only item that means something here is {@code guest_errors}. */
    public void log(String items) {
        misuse |= List.of(items.split(",")).contains("guest_errors");
    }

    /** @throws MachineException if the options do not fit each other */
    public Launch build() {
        monitorIds.forEach(id -> monitors.add(chardev("-mon", id)));
        otherIds.forEach(id -> others.add(chardev("-serial", id)));
        Chardev commands = null;
        if (qtest != null) {
            commands = qtest.startsWith("chardev:")
                    ? chardev("-qtest", qtest.substring("chardev:".length()))
                    : Chardev.ofShortForm("-qtest", qtest);
        }
        if (meet && commands instanceof Chardev.Connect connect) {
            commands = new Chardev.Meet(connect.path());
        }
        if (commands == null && monitors.isEmpty()) {
            throw new MachineException("-qtest: nobody could talk to the machine; it is unix:PATH, for instance");
        }
        return new Launch(config(), commands, qtestLog, monitors, others, running, misuse);
    }

    private Chardev chardev(String option, String id) {
        Chardev found = chardevs.get(id);
        if (found == null) {
            throw new MachineException("%s: there is no -chardev with id '%s'".formatted(option, id));
        }
        return found;
    }

    private MachineConfig config() {
        if (kind == null) {
            throw new MachineException("-machine: no machine is asked for; there are virt and none");
        }
        Matcher virt = VIRT.matcher(kind);
        if (!virt.matches() && !kind.equals("none")) {
            throw new MachineException("-machine %s: there are virt and none".formatted(kind));
        }
        KeyValues values = KeyValues.of("-machine", machine);
        String accel = values.take("accel", "qtest");
        boolean stepped = (accelerator == null ? accel : accelerator).split(":")[0].equals("qtest");
        if (kind.equals("none")) {
            return config(MachineConfig.Kind.NONE, null, values, stepped);
        }
        String iommu = values.take("iommu", "none");
        boolean platform = devices.stream().anyMatch(device -> device.model() == MachineConfig.Model.ARM_SMMUV3);
        if (!iommu.equals("smmuv3") && !iommu.equals("none")) {
            throw new MachineException("-machine: iommu=%s: it is smmuv3 or none".formatted(iommu));
        }
        if (platform && iommu.equals("smmuv3")) {
            throw new MachineException("-device arm-smmuv3: the machine has an SMMU already, by iommu=smmuv3");
        }
        boolean smmu = platform || iommu.equals("smmuv3");
        return config(MachineConfig.Kind.VIRT, smmu ? stagesOf(virt) : null, values, stepped);
    }

    private MachineConfig config(
            MachineConfig.Kind type, MachineConfig.Stages smmu, KeyValues values, boolean stepped) {
        String gic = values.take("gic-version", "2");
        int gicVersion =
                switch (gic) {
                    case "2" -> 2;
                    case "3", "4", "max" -> 3;
                    default ->
                        throw new MachineException("-machine: gic-version=%s: it is 2, 3, 4 or max".formatted(gic));
                };
        boolean highmem = values.takeSwitch("highmem", true);
        boolean ecam = values.takeSwitch("highmem-ecam", highmem);
        boolean mmio = values.takeSwitch("highmem-mmio", highmem);
        boolean its = values.takeSwitch("its", true);
        boolean bypass = values.takeSwitch("default-bus-bypass-iommu", false)
                | values.takeSwitch("default_bus_bypass_iommu", false);
        values.ignore(MACHINE_IGNORED);
        values.nothingLeft(kind);
        List<MachineConfig.Device> all = devices.stream()
                .map(device -> device.dmaMask().isPresent() ? device : device.withDmaMask(dmaMask))
                .toList();
        return new MachineConfig(
                type,
                smmu,
                all.stream().anyMatch(device -> device.model() == MachineConfig.Model.ARM_SMMUV3),
                new MachineConfig.HighMemory(highmem, ecam, mmio),
                gicVersion,
                its,
                bypass,
                ramSize,
                cpus,
                networkCard,
                all,
                stepped);
    }

    /**
     * {@code arm-smmuv3.stage}, where it is not given. QEMU's {@code virt} has both stages from version 9.2 on; without a
     * version it is that of QEMU 7.2, unless a device is asked for that is only in QEMU versions with both stages.
     */
    private MachineConfig.Stages stagesOf(Matcher virt) {
        if (stages != null) {
            return stages;
        }
        boolean nested = virt.group(1) == null
                ? devices.stream().anyMatch(device -> device.model() != MachineConfig.Model.EDU)
                : Integer.parseInt(virt.group(1)) * 100 + Integer.parseInt(virt.group(2)) >= 902;
        return nested ? MachineConfig.Stages.NESTED : MachineConfig.Stages.STAGE_1;
    }
}
