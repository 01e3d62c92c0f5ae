package org.iommuemu.smmuv3;

/** Arithmetic on bits as one would tell it. */
final class Plain {
    private Plain() {}

    static boolean bit(long value, int number) {
        return (value >>> number) % 2 != 0;
    }

    /** Bits high to low of a value, as a number. */
    static long bits(long value, int high, int low) {
        long result = 0;
        for (int number = high; number >= low; number--) {
            result = result * 2 + (bit(value, number) ? 1 : 0);
        }
        return result;
    }

    /** Bits high to low of a structure of words, as a number; they may lie in two words. */
    static long bits(long[] words, int high, int low) {
        long result = 0;
        for (int number = high; number >= low; number--) {
            result = result * 2 + (bit(words[number / 64], number % 64) ? 1 : 0);
        }
        return result;
    }

    static long power(int exponent) {
        long result = 1;
        for (int i = 0; i < exponent; i++) {
            result = result * 2;
        }
        return result;
    }

    /** An address with the bits below 2^n taken as 0. */
    static long aligned(long address, int n) {
        return n >= 63 ? 0 : address / power(n) * power(n);
    }

    static boolean fits(long address, int bits) {
        return address >= 0 && (bits >= 63 || address < power(bits));
    }

    /** The width that OAS, IPS and S2PS encode; 52 for the Reserved value. */
    static int addressSize(int encoded) {
        return switch (encoded) {
            case 0 -> 32;
            case 1 -> 36;
            case 2 -> 40;
            case 3 -> 42;
            case 4 -> 44;
            case 5 -> 48;
            default -> 52;
        };
    }
}
