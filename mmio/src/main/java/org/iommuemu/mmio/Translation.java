package org.iommuemu.mmio;

/**
 * What a translation came to, as one {@code long} so that nothing is allocated on the way.
 *
 * <table>
 * <caption>Layout</caption>
 * <tr><td>63</td><td>0: translated; 1: not</td></tr>
 * <tr><td colspan=2>translated</td></tr>
 * <tr><td>62</td><td>not global (nG): belongs to one ASID</td></tr>
 * <tr><td>61:60</td><td>shareability: 0 non, 2 outer, 3 inner</td></tr>
 * <tr><td>59:52</td><td>memory attributes, a MAIR byte</td></tr>
 * <tr><td>51:12</td><td>physical address of the 4 KiB page that holds the accessed byte</td></tr>
 * <tr><td>11:6</td><td>permissions, known to {@code page-tables} only</td></tr>
 * <tr><td>5:0</td><td>log2 of the size in bytes of what the table entry maps</td></tr>
 * <tr><td colspan=2>not translated, as a port sees it; the rest of the bits belongs to the unit</td></tr>
 * <tr><td>2:0</td><td>{@link #ABORT}, {@link #RAZ_WI}, {@link #STALLED}</td></tr>
 * </table>
 */
public final class Translation {
    /** The access is terminated and the master sees an error. */
    public static final long ABORT = 1L << 63 | 1;
    /** The access is terminated; the master sees success: a read gives zeros, a write is dropped. */
    public static final long RAZ_WI = 1L << 63 | 2;

    /** The access waits in the unit until software answers, see {@link Translator#resume}. */
    public static final long STALLED = 1L << 63 | 3;

    private static final long OUTCOME = 1L << 63 | 7;
    private static final long PAGE = 0x000f_ffff_ffff_f000L;

    private Translation() {}

    /**
     * A successful translation.
     *
     * @param page physical address, bits 11:0 ignored
     * @param log2Size of the mapped block in bytes, 12 to 52
     * @param attributes a MAIR byte
     * @param shareability 0, 2 or 3
     */
    public static long of(long page, int log2Size, int attributes, int shareability) {
        return (long) shareability << 60 | (attributes & 0xffL) << 52 | page & PAGE | log2Size;
    }

    /** A translation to the same address with the attributes of Normal write-back memory, for a bypass. */
    public static long identity(long address) {
        return of(address, 12, 0xff, 3);
    }

    /** Whether there is a physical address. */
    public static boolean translated(long translation) {
        return translation >= 0;
    }

    /** Whether the access waits in the unit. */
    public static boolean isStalled(long translation) {
        return (translation & OUTCOME) == STALLED;
    }

    /**
     * The physical address.
     *
     * @param translation a successful one
     * @param input the address that was translated, which gives bits 11:0
     */
    public static long address(long translation, long input) {
        return translation & PAGE | input & 0xfff;
    }

    /** Log2 of the size in bytes of what the table entry maps. */
    public static int log2Size(long translation) {
        return (int) translation & 0x3f;
    }

    /** The memory attributes, a MAIR byte. */
    public static int attributes(long translation) {
        return (int) (translation >>> 52) & 0xff;
    }

    /** The shareability: 0 non, 2 outer, 3 inner. */
    public static int shareability(long translation) {
        return (int) (translation >>> 60) & 3;
    }
}
