/**
 * Memory ordering, proved with jcstress: what each test forbids is in its comment, with the rule's source; which mutation
 * each of them catches is in docs/ordering.md.
 */
package org.iommuemu.stress;
