/* page_chart.c - inline SVG, drawn for a phone's width: on a wider screen charts stand side by side. */
#include <stdio.h>
#include <string.h>

#include "cli/page_parts.h"

enum { WIDTH = 360, HEIGHT = 190, LEFT = 42, RIGHT = 6, TOP = 10, BOTTOM = 34, ROW = 26, NAME_MAX_SHOWN = 26 };

static json_int_t count_of(const json_t *bin)
{
    return json_integer_value(json_object_get(bin, "count"));
}

static double total_of(const json_t *bins)
{
    double total = 0;
    size_t i;
    const json_t *bin;
    json_array_foreach(bins, i, bin)
    {
        total += (double)count_of(bin);
    }
    return total;
}

static void add_bin_name(struct nm_page *page, const json_t *bin)
{
    long long from = json_integer_value(json_object_get(bin, "from"));
    const json_t *to = json_object_get(bin, "to");
    if (!json_is_integer(to))
        nm_page_addf(page, "%lld+", from);
    else if (json_integer_value(to) == from)
        nm_page_addf(page, "%lld", from);
    else
        nm_page_addf(page, "%lld–%lld", from, (long long)json_integer_value(to));
}

/* The upper end of the scale: the least of 5, 10, 20, 25, 50, 100 % that all bars stay below. */
static double scale_of(const struct nm_page_series *series, size_t n)
{
    static const double ends[] = {0.05, 0.1, 0.2, 0.25, 0.4, 0.5, 0.6, 0.8, 1};
    double most = 0;
    size_t i;
    const json_t *bin;
    for (size_t s = 0; s < n; s++) {
        double total = total_of(series[s].bins);
        json_array_foreach(series[s].bins, i, bin)
        {
            double share = total > 0 ? (double)count_of(bin) / total : 0;
            most = share > most ? share : most;
        }
    }
    for (size_t e = 0; e < sizeof ends / sizeof *ends; e++)
        if (most <= ends[e])
            return ends[e];
    return 1;
}

static void add_scale(struct nm_page *page, double end)
{
    double height = HEIGHT - TOP - BOTTOM;
    for (int step = 0; step <= 4; step += 2) {
        double y = TOP + height * (4 - step) / 4;
        nm_page_addf(page, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>", LEFT, y,
                     WIDTH - RIGHT, y);
        nm_page_addf(page, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g %%</text>", LEFT - 5, y + 4,
                     100 * end * step / 4);
    }
}

static void add_bars(struct nm_page *page, const struct nm_page_series *series, size_t n, double end)
{
    size_t bins = json_array_size(series[0].bins), i;
    double slot = (double)(WIDTH - LEFT - RIGHT) / (double)(bins > 0 ? bins : 1), height = HEIGHT - TOP - BOTTOM;
    double bar = slot * 0.8 / (double)n;
    for (size_t s = 0; s < n; s++) {
        double total = total_of(series[s].bins);
        const json_t *bin;
        json_array_foreach(series[s].bins, i, bin)
        {
            double share = total > 0 ? (double)count_of(bin) / total : 0, tall = height * share / end;
            nm_page_addf(page,
                         "<rect class=\"s%zu\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"1\"><title>",
                         s, LEFT + slot * ((double)i + 0.1) + bar * (double)s, TOP + height - tall, bar, tall);
            add_bin_name(page, bin);
            nm_page_addf(page, ": %.1f %%</title></rect>", 100 * share);
        }
    }
}

/* As many of the bins' names as there is room for. */
static void add_bin_names(struct nm_page *page, const json_t *bins, const char *unit)
{
    size_t n = json_array_size(bins), every = n > 10 ? 3 : 1, i;
    double slot = (double)(WIDTH - LEFT - RIGHT) / (double)(n > 0 ? n : 1);
    const json_t *bin;
    json_array_foreach(bins, i, bin)
    {
        if (i % every != 0)
            continue;
        nm_page_addf(page, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">", LEFT + slot * ((double)i + 0.5),
                     HEIGHT - BOTTOM + 14);
        if (every > 1)
            nm_page_addf(page, "%lld", (long long)json_integer_value(json_object_get(bin, "from")));
        else
            add_bin_name(page, bin);
        nm_page_add(page, "</text>");
    }
    nm_page_addf(page, "<text class=\"unit\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
                 LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 4);
    nm_page_text(page, unit, strlen(unit));
    nm_page_add(page, "</text>");
}

static void begin_chart(struct nm_page *page, const char *title, int height)
{
    unsigned id = ++page->charts;
    nm_page_add(page, "<figure><figcaption>");
    nm_page_text(page, title, strlen(title));
    nm_page_addf(
        page,
        "</figcaption><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"chart%u\"><title id=\"chart%u\">",
        WIDTH, height, id, id);
    nm_page_text(page, title, strlen(title));
    nm_page_add(page, "; the figures are in the table below</title>");
}

static void add_table(struct nm_page *page, const char *unit, const struct nm_page_series *series, size_t n)
{
    size_t bins = json_array_size(series[0].bins);
    nm_page_add(page,
                "<details><summary>Figures</summary><div class=\"scroll\"><table><thead><tr><th scope=\"col\">");
    nm_page_text(page, unit, strlen(unit));
    nm_page_add(page, "</th>");
    for (size_t s = 0; s < n; s++) {
        nm_page_add(page, "<th scope=\"col\" class=\"n\">");
        nm_page_text(page, series[s].name, strlen(series[s].name));
        nm_page_add(page, "</th>");
    }
    nm_page_add(page, "</tr></thead><tbody>");
    for (size_t i = 0; i < bins; i++) {
        nm_page_add(page, "<tr><th scope=\"row\">");
        add_bin_name(page, json_array_get(series[0].bins, i));
        nm_page_add(page, "</th>");
        for (size_t s = 0; s < n; s++) {
            nm_page_add(page, "<td class=\"n\">");
            nm_page_figure(page, json_object_get(json_array_get(series[s].bins, i), "count"), false);
            nm_page_add(page, "</td>");
        }
        nm_page_add(page, "</tr>");
    }
    nm_page_add(page, "</tbody></table></div></details>");
}

void nm_page_histogram(struct nm_page *page, const char *title, const char *unit, const struct nm_page_series *series,
                       size_t n)
{
    double end = scale_of(series, n);
    begin_chart(page, title, HEIGHT);
    add_scale(page, end);
    add_bars(page, series, n, end);
    add_bin_names(page, series[0].bins, unit);
    nm_page_add(page, "</svg>");
    if (n > 1) {
        nm_page_add(page, "<p class=\"legend\">");
        for (size_t s = 0; s < n; s++) {
            nm_page_addf(page, "<span><i class=\"k%zu\"></i>", s);
            nm_page_text(page, series[s].name, strlen(series[s].name));
            nm_page_add(page, "</span> ");
        }
        nm_page_add(page, "</p>");
    }
    add_table(page, unit, series, n);
    nm_page_add(page, "</figure>");
}

/* A name cut to what there is room for, between code points. */
static void add_short(struct nm_page *page, const char *name)
{
    size_t len = strlen(name), at = 0, points = 0;
    while (at < len && points < NAME_MAX_SHOWN) {
        at++;
        while (at < len && ((unsigned char)name[at] & 0xc0) == 0x80)
            at++;
        points++;
    }
    nm_page_text(page, name, at);
    if (at < len)
        nm_page_add(page, "…");
}

void nm_page_bars(struct nm_page *page, const char *title, const struct nm_page_bar *bars, size_t n, bool colored)
{
    json_int_t most = 1;
    for (size_t i = 0; i < n; i++)
        most = bars[i].count > most ? bars[i].count : most;
    begin_chart(page, title, (int)n * ROW + 8);
    for (size_t i = 0; i < n; i++) {
        int y = (int)i * ROW;
        unsigned color = colored ? nm_page_type_color(page, bars[i].name) : 8;
        double width = (double)(WIDTH - 4) * (double)bars[i].count / (double)most;
        nm_page_addf(page, "<text class=\"name\" x=\"2\" y=\"%d\">", y + 13);
        add_short(page, bars[i].name);
        nm_page_addf(page, "</text><text class=\"value\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH - 2, y + 13);
        json_t *count = json_integer(bars[i].count);
        nm_page_figure(page, count, false);
        json_decref(count);
        nm_page_addf(page, "</text><rect class=\"track\" x=\"2\" y=\"%d\" width=\"%d\" height=\"5\" rx=\"2.5\"/>",
                     y + 18, WIDTH - 4);
        nm_page_addf(page, "<rect class=\"t%u\" x=\"2\" y=\"%d\" width=\"%.1f\" height=\"5\" rx=\"2.5\"/>", color,
                     y + 18, bars[i].count > 0 && width < 3 ? 3 : width);
    }
    nm_page_add(page, "</svg></figure>");
}
