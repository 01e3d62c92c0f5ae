/** VMSAv8 translation tables: formats, walks, {@code TableWriter} and TLB. */
package org.iommuemu.pagetables;
