package org.iommuemu.nativecode.driver;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/** A driver library that is loaded into this process. */
final class InProcessDriver implements DriverCalls {
    private static final String ENTRY = "iommu_emu_driver";

    /** Those that still run in C and use what is theirs. */
    private static final List<InProcessDriver> ABANDONED = Collections.synchronizedList(new ArrayList<>());

    private final Binding binding;
    private final String name;
    private final List<String> compatible = new ArrayList<>();
    private final boolean sharesTables;
    private final Map<Operation, Binding.Downcall> operations = new EnumMap<>(Operation.class);

    /** What C has pointers to stays reachable here. */
    private ByteBuffer board;

    private SharedRam ram;
    private Binding.Upcalls upcalls;
    private ByteBuffer host;
    private final ByteBuffer out = ByteBuffer.allocateDirect(8).order(ByteOrder.nativeOrder());
    private final Map<Long, ByteBuffer> masters = new HashMap<>();
    private final Map<Long, ByteBuffer> domains = new HashMap<>();
    private long driver;

    /**
     * Loads a library.
     *
     * @throws NativeDriverException if it is none of a driver that works here
     */
    InProcessDriver(Path library, Binding binding) {
        this.binding = binding;
        long table;
        try {
            table = binding.callForPointer(symbol(library), Abi.VERSION);
        } catch (UnsatisfiedLinkError e) {
            String oneLine = e.getMessage().replaceAll("\\s*\\R\\s*", "; ");
            throw new NativeDriverException(library + ": it cannot be loaded: " + oneLine, e);
        }
        if (table == 0) {
            throw new NativeDriverException(
                    "%s: the driver does not work with version %d.%d of the ABI (%s returned NULL)"
                            .formatted(library, Abi.MAJOR, Abi.VERSION & 0xffff, ENTRY));
        }
        ByteBuffer head = binding.memory(table, 8);
        if (head.getInt(0) >>> 16 != Abi.MAJOR || head.getInt(4) < Abi.DRIVER_SIZE) {
            throw new NativeDriverException(
                    "%s: the driver was compiled for version %d.%d of the ABI, with a structure of %d bytes; this is %d.%d with %d"
                            .formatted(
                                    library,
                                    head.getInt(0) >>> 16,
                                    head.getInt(0) & 0xffff,
                                    head.getInt(4),
                                    Abi.MAJOR,
                                    Abi.VERSION & 0xffff,
                                    Abi.DRIVER_SIZE));
        }
        ByteBuffer structure = binding.memory(table, Abi.DRIVER_SIZE);
        name = binding.string(structure.getLong(Abi.DRIVER_NAME));
        long strings = structure.getLong(Abi.DRIVER_COMPATIBLE);
        for (long at = strings, text; at != 0 && (text = binding.memory(at, 8).getLong(0)) != 0; at += 8) {
            compatible.add(binding.string(text));
        }
        sharesTables = (structure.getLong(Abi.DRIVER_FLAGS) & Abi.SHARES_TABLES) != 0;
        for (Operation operation : Operation.values()) {
            long address = structure.getLong(Abi.DRIVER_OPERATIONS + 8 * operation.ordinal());
            if (address != 0) {
                operations.put(operation, binding.function(address, operation.arity));
            }
        }
        List<Operation> missing = missing(operations.keySet()::contains, sharesTables);
        if (!missing.isEmpty()) {
            throw new NativeDriverException("%s: driver %s lacks %s".formatted(library, name, missing));
        }
    }

    /** The operations that a driver must have and has not. */
    static List<Operation> missing(Predicate<Operation> has, boolean sharesTables) {
        return Arrays.stream(Operation.values())
                .filter(o -> !has.test(o) && (o.required || !sharesTables && o != Operation.CLOSE))
                .toList();
    }

    private long symbol(Path library) {
        long entry = binding.symbol(library.toAbsolutePath(), ENTRY);
        if (entry == 0) {
            throw new UnsatisfiedLinkError("undefined symbol: " + ENTRY);
        }
        return entry;
    }

    /** Makes the host that {@link Operation#OPEN} hands over. */
    void connect(DriverHost functions, BoardImage image, SharedRam shared) {
        ram = shared;
        board = ByteBuffer.allocateDirect(image.size());
        long boardAddress = binding.address(board);
        image.copyTo(board, boardAddress, ram.pointers());
        upcalls = binding.upcalls(new InProcessHost(functions, binding));
        host = ByteBuffer.allocateDirect(Abi.HOST_SIZE).order(ByteOrder.nativeOrder());
        host.putInt(0, Abi.VERSION).putInt(4, Abi.HOST_SIZE).putLong(16, boardAddress + image.board());
        long[] addresses = upcalls.addresses();
        for (int i = 0; i < addresses.length; i++) {
            host.putLong(Abi.HOST_FUNCTIONS + 8 * i, addresses[i]);
        }
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public List<String> compatible() {
        return compatible;
    }

    @Override
    public boolean sharesTables() {
        return sharesTables;
    }

    @Override
    public int call(Operation operation, long... a) {
        Binding.Downcall function = operations.get(operation);
        if (function == null) {
            return 0;
        }
        return switch (operation) {
            case OPEN -> open(function);
            case CLOSE -> function.call(driver);
            case PROBE, IRQ, REMOVE -> function.call(driver, a[0]);
            case ADD_DEVICE -> function.call(driver, addMaster(a));
            case ATTACH -> function.call(driver, domain(a), binding.address(masters.get(a[1])));
            case DETACH -> function.call(driver, domain(a), binding.address(masters.get(a[1])));
            case MAP -> function.call(driver, domain(a), a[1], a[2], a[3], a[4]);
            case UNMAP, FLUSH -> function.call(driver, domain(a), a[1], a[2]);
            case IOVA_TO_PHYS -> function.call(driver, domain(a), a[1], binding.address(out));
            case RELEASE -> {
                int rc = function.call(driver, domain(a));
                domains.remove(a[0]);
                yield rc;
            }
        };
    }

    private int open(Binding.Downcall function) {
        int rc = function.call(binding.address(host), binding.address(out));
        driver = out.getLong(0);
        return rc;
    }

    /** struct iommu_emu_master, with its StreamIDs behind it. */
    private long addMaster(long[] a) {
        ByteBuffer master =
                ByteBuffer.allocateDirect(Abi.MASTER_SIZE + 4 * (a.length - 3)).order(ByteOrder.nativeOrder());
        long address = binding.address(master);
        master.putInt(0, (int) a[0]).putInt(4, (int) a[1]).putInt(8, (int) a[2]).putInt(12, a.length - 3);
        master.putLong(16, address + Abi.MASTER_SIZE);
        for (int i = 3; i < a.length; i++) {
            master.putInt(Abi.MASTER_SIZE + 4 * (i - 3), (int) a[i]);
        }
        masters.put(a[0], master);
        return address;
    }

    /** struct iommu_emu_domain; made by the first ATTACH. */
    private long domain(long[] a) {
        return binding.address(domains.computeIfAbsent(a[0], number -> ByteBuffer.allocateDirect(Abi.DOMAIN_SIZE)
                .order(ByteOrder.nativeOrder())
                .putInt(0, (int) a[2])
                .putInt(4, (int) a[3])
                .putInt(8, (int) a[4])
                .putLong(16, a[5])));
    }

    @Override
    public long found() {
        return out.getLong(0);
    }

    @Override
    public String abandon() {
        ABANDONED.add(this);
        ram.keep();
        return "it is in this process, where it cannot be ended: its thread stays";
    }

    @Override
    public void end() {}
}
