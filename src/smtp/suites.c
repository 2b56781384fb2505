#include "smtp/suites.h"

#include <stdio.h>
#include <stdlib.h>

#define SUITE_MAX 4194304

static FILE *open_in(const char *folder, const char *path)
{
    char name[4096];
    if (!folder || (size_t)snprintf(name, sizeof name, "%s/%s", folder, path) >= sizeof name)
        return NULL;
    return fopen(name, "rb");
}

/* The tests run in the source tree or in a build folder below it. */
static FILE *find(const char *path)
{
    const char *const folders[] = { getenv("GONETS_SUITES"), "../shared/conformance", "../../shared/conformance" };
    FILE *file = NULL;
    for (size_t i = 0; !file && i < sizeof folders / sizeof *folders; i++)
        file = open_in(folders[i], path);
    return file;
}

char *suite_read(const char *path, size_t *len)
{
    FILE *file = find(path);
    char *text = file ? malloc(SUITE_MAX + 1) : NULL;
    if (!text) {
        printf("NOT RUN: %s is not here (GONETS_SUITES names the folder)\n", path);
        if (file)
            fclose(file);
        return NULL;
    }
    *len = fread(text, 1, SUITE_MAX, file);
    text[*len] = '\0';
    fclose(file);
    return text;
}
