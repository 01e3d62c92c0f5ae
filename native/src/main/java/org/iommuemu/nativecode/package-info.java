/** Native code and how Java reaches it: the C reference loops that {@code bench} compares the emulator with. */
package org.iommuemu.nativecode;
