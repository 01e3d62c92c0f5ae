package org.iommuemu.harness;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.iommuemu.pagetables.MappingException;
import org.iommuemu.pagetables.PageAllocator;
import org.iommuemu.probe.iommu.ControlOperations;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.HypervisorHeap;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.Platform;
import org.iommuemu.probe.pci.PciAddress;

/**
 * What a toolstack does with a system that has booted: makes domains, and moves devices among them. {@link #USAGE} has the
 * operations; a domain is "dom1", a device a path in the tree or a PCI address.
 */
final class Toolstack {
    /** The operations. */
    static final String USAGE = "create DOM | destroy DOM | assign DOM DEVICE | deassign DOM DEVICE"
            + " | reassign DOM DOM DEVICE | test-assign DEVICE | unmap DOM ADDRESS"
            + " | dma DEVICE ADDRESS | grant DEVICE ADDRESS [ro] | revoke DEVICE DMA-ADDRESS"
            + " | backend DOM DEVICE DMA-ADDRESS read|write|hold|release"
            + " | free-tables [MOST] | suspend | resume";

    /** What a backend does with a grant. */
    static final Set<String> ACCESSES = Set.of("read", "write", "hold", "release");

    /** A guest's RAM: where it begins for the guest, and its size. */
    private static final long GUEST_RAM = 0x4000_0000L;

    private static final long GUEST_RAM_SIZE = 2 << 20;
    private static final int PAGE = 4096;

    private static final Pattern DMA_ADDRESS = Pattern.compile("0x[0-9a-fA-F]{1,16}");
    private static final Pattern DOMAIN = Pattern.compile("(?:dom|d)(\\d{1,4})");
    /** By operation: D domain, X device, N number, U number of 64 bits, A access; small letters may be left out. */
    private static final Map<String, String> ARGUMENTS = Map.ofEntries(
            Map.entry("create", "D"),
            Map.entry("destroy", "D"),
            Map.entry("assign", "DX"),
            Map.entry("deassign", "DX"),
            Map.entry("reassign", "DDX"),
            Map.entry("test-assign", "X"),
            Map.entry("unmap", "DN"),
            Map.entry("dma", "XN"),
            Map.entry("grant", "XNr"),
            Map.entry("revoke", "XU"),
            Map.entry("backend", "DXUA"),
            Map.entry("free-tables", "n"),
            Map.entry("suspend", ""),
            Map.entry("resume", ""));

    /** Finds the way of a device's DMA. */
    @FunctionalInterface
    interface Paths {
        DmaPath path(Device device, int id, int domain);
    }

    record Answer(Errno errno, String detail) {}

    private final Iommus iommus;
    private final HypervisorHeap heap;
    private final boolean enabled;
    private final ControlOperations control;
    private final Map<Integer, Domain> domains;
    private final Map<Domain, Long> ram = new HashMap<>();
    private final Paths paths;
    private final DmaTrial trial;
    private final GrantOperations grants;

    /**
     * A toolstack.
     *
     * @param enabled whether I/O virtualisation is on
     * @param domains those that there are, by number; 0 is the hardware domain
     */
    Toolstack(
            Platform platform,
            Iommus iommus,
            HypervisorHeap heap,
            boolean enabled,
            Map<Integer, Domain> domains,
            Paths paths,
            DmaTrial trial,
            GrantOperations grants) {
        this.iommus = iommus;
        this.heap = heap;
        this.enabled = enabled;
        this.control = new ControlOperations(platform, iommus, enabled);
        this.domains = new HashMap<>(domains);
        this.paths = paths;
        this.trial = trial;
        this.grants = grants;
    }

    /** @param function its address, null if it is no PCI function */
    void found(Device device, PciAddress function) {
        if (function == null) {
            control.found(device);
        } else {
            control.found(function, device);
        }
    }

    /**
     * Looks whether an operation is one.
     *
     * @throws BoardException if not
     */
    static void check(String operation) {
        String[] words = operation.trim().split("\\s+");
        String wanted = ARGUMENTS.get(words[0]);
        boolean good = wanted != null
                && words.length - 1 <= wanted.length()
                && words.length - 1 >= wanted.replaceAll("[a-z]", "").length();
        for (int i = 1; good && i < words.length; i++) {
            good = switch (wanted.charAt(i - 1)) {
                case 'D' -> DOMAIN.matcher(words[i]).matches();
                case 'X' -> true;
                case 'U' -> DMA_ADDRESS.matcher(words[i]).matches();
                case 'A' -> ACCESSES.contains(words[i]);
                case 'r' -> words[i].equals("ro");
                default -> isNumber(words[i]);
            };
        }
        if (!good) {
            throw new BoardException("--do '%s': it is one of: %s".formatted(operation, USAGE));
        }
    }

    private static boolean isNumber(String word) {
        try {
            return Long.decode(word) >= 0;
        } catch (NumberFormatException e) {
            return false;
        }
    }

    /** Does operations, which were checked, one after the other, whatever each answers. */
    List<BootReport.Operation> run(List<String> operations, Log log) {
        List<BootReport.Operation> results = new ArrayList<>();
        for (String operation : operations) {
            Answer answer = run(operation.trim().split("\\s+"));
            log.info(
                    "toolstack", operation + ": " + answer.errno + (answer.detail == null ? "" : ", " + answer.detail));
            results.add(new BootReport.Operation(operation, answer.errno.name(), answer.detail));
        }
        return results;
    }

    private Answer run(String[] words) {
        if (!enabled) {
            return new Answer(Errno.ENOSYS, null);
        }
        try {
            return switch (words[0]) {
                case "create" -> create(number(words[1]));
                case "destroy" -> destroy(number(words[1]));
                case "assign" -> with(words[1], d -> of(control.assign(d, domains.get(0), words[2])));
                case "deassign" -> with(words[1], d -> of(control.deassign(d, words[2])));
                case "reassign" ->
                    with(
                            words[1],
                            from -> with(words[2], to -> device(words[3], d -> of(iommus.reassign(from, to, d)))));
                case "test-assign" -> of(control.testAssign(domains.get(0), words[1]));
                case "unmap" -> with(words[1], d -> unmap(d, Long.decode(words[2])));
                case "dma" -> dma(words[1], Long.decode(words[2]));
                case "grant" -> device(words[1], d -> grants.grant(d, Long.decode(words[2]), words.length > 3));
                case "revoke" -> device(words[1], d -> grants.revoke(d, dmaAddress(words[2])));
                case "backend" ->
                    device(words[2], d -> grants.access(d, number(words[1]), dmaAddress(words[3]), words[4]));
                case "free-tables" -> freeTables(words.length > 1 ? Long.decode(words[1]) : Integer.MAX_VALUE);
                case "suspend" -> of(iommus.suspend());
                default -> {
                    iommus.resume();
                    yield of(Errno.OK);
                }
            };
        } catch (MappingException e) {
            return new Answer(
                    e.reason() == MappingException.Reason.OUT_OF_MEMORY ? Errno.ENOMEM : Errno.EINVAL, e.getMessage());
        }
    }

    static Answer of(Errno errno) {
        return new Answer(errno, null);
    }

    private static int number(String word) {
        Matcher matcher = DOMAIN.matcher(word);
        return matcher.matches() ? Integer.parseInt(matcher.group(1)) : -1;
    }

    private static long dmaAddress(String word) {
        return Long.parseUnsignedLong(word.substring(2), 16);
    }

    private Answer device(String name, Function<Device, Answer> action) {
        return control.device(name).map(action).orElse(of(Errno.ENODEV));
    }

    /** With a domain, if there is one of that name. */
    private Answer with(String name, Function<Domain, Answer> action) {
        Domain domain = domains.get(number(name));
        return domain == null ? new Answer(Errno.ESRCH, "there is no " + name) : action.apply(domain);
    }

    private Answer create(int id) {
        if (domains.containsKey(id)) {
            return of(Errno.EEXIST);
        }
        long machine = heap.allocate(GUEST_RAM_SIZE);
        if (machine == PageAllocator.NONE) {
            return of(Errno.ENOMEM);
        }
        Domain domain;
        try {
            domain = iommus.createDomain(id);
            domain.mapRam(GUEST_RAM, machine, GUEST_RAM_SIZE);
        } catch (MappingException e) {
            heap.free(machine, GUEST_RAM_SIZE);
            throw e;
        }
        domains.put(id, domain);
        ram.put(domain, machine);
        return new Answer(
                Errno.OK,
                "2 MiB at 0x%x, P2M at 0x%x".formatted(GUEST_RAM, domain.ioP2m().root()));
    }

    private Answer destroy(int id) {
        Domain domain = domains.get(id);
        if (domain == null || id == 0) {
            return of(domain == null ? Errno.ESRCH : Errno.EINVAL);
        }
        Errno rc = iommus.destroy(domain);
        if (rc != Errno.OK) {
            return of(rc);
        }
        domains.remove(id);
        heap.free(ram.remove(domain), GUEST_RAM_SIZE);
        return new Answer(Errno.OK, iommus.freePageTables(0) + " page tables to be freed");
    }

    private Answer freeTables(long most) {
        return new Answer(Errno.OK, iommus.freePageTables((int) Math.min(most, Integer.MAX_VALUE)) + " left");
    }

    private static Answer unmap(Domain domain, long address) {
        domain.unmap(address, PAGE);
        return of(Errno.OK);
    }

    /** A write and a read with each of a device's IDs. */
    private Answer dma(String name, long address) {
        Device device = control.device(name).orElse(null);
        if (device == null || device.fwspec() == null) {
            return of(Errno.ENODEV);
        }
        Domain domain = device.domain().orElse(null);
        String result = DmaTrial.OK;
        for (int id : device.fwspec().ids()) {
            DmaPath path = paths.path(device, id, domain == null ? 0 : domain.id());
            long page = address & -PAGE;
            long machine = domain == null ? -1 : domain.resolve(page);
            String answer = machine == -1 ? trial.read(path, address) : trial.transfer(path, page, machine, id);
            result = result.equals(DmaTrial.OK) ? answer == null ? "reached 0x%x".formatted(address) : answer : result;
        }
        return new Answer(result.equals(DmaTrial.OK) ? Errno.OK : Errno.EFAULT, result);
    }
}
