/**
 * The register model of Arm's System MMU version 3 (Arm IHI 0070): what the silicon does. One file per chapter of the
 * architecture; sections in comments are those of issue G.b.
 */
package org.iommuemu.smmuv3;
