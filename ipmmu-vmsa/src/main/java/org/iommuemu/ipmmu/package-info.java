/** Register model of Renesas' IPMMU-VMSA: root unit, cache units, R-Car Gen2 to Gen4. */
package org.iommuemu.ipmmu;
