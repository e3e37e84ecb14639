/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* XML as strict readers want it, as far as steadyport writes it. */
#ifndef STEADYPORT_TESTS_XML_H
#define STEADYPORT_TESTS_XML_H

/*
 * Fails the test unless the text is one element with all that it holds: tags that close in order, attributes in double
 * quotes and once each, no bare & or <, printable ASCII.
 */
void sp_xml_require(const char *text);

#endif
