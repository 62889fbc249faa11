/* A backend in C: it tells whoever stands before a green screen from the screen.
 *
 * In the root of the repository, this builds it and puts it where `cargo xtask serve` looks for plugins:
 *
 *     cc -std=c11 -O2 -Wall -Wextra -shared -fPIC -I plugins/abi/include \
 *         -o target/release/plugins/libgreen_screen.so examples/green-screen/green_screen.c
 *
 * A model that it runs, as models/green-screen.toml:
 *
 *     backend = "green-screen"
 *     title = "Green screen"
 *     licence = "MIT"
 *     [settings]
 *     threshold = 40
 */

#include <segue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BACKGROUND, SUBJECT, CLASSES };

static const SegueText LABELS[CLASSES] = {
    [BACKGROUND] = {(const uint8_t *)"background", 10},
    [SUBJECT] = {(const uint8_t *)"subject", 7},
};
static const SegueRgb PALETTE[CLASSES] = {[BACKGROUND] = {0, 0, 0}, [SUBJECT] = {40, 200, 80}};

// What `create` makes, and every other function gets. The host never looks into it.
typedef struct {
    const SegueHost *host;
    // A pixel whose green exceeds its red and its blue by more than this is of the screen.
    int threshold;
} Instance;

// Tells the host why a call failed, as far as it has room for it.
static int32_t failed(SegueTextBuffer *error, const char *reason) {
    if (error != NULL) {
        size_t len_bytes = strlen(reason);
        error->len_bytes = len_bytes < error->capacity_bytes ? len_bytes : error->capacity_bytes;
        memcpy(error->data, reason, error->len_bytes);
    }
    return SEGUE_STATUS_FAILED;
}

// Settings are one JSON object. With a single number in it, sscanf will do; for more, take a JSON library.
static int read_settings(SegueText settings, int *threshold) {
    char text[64] = {0};
    if (settings.len_bytes == 0 || settings.len_bytes >= sizeof text) {
        return 0;
    }
    memcpy(text, settings.data, settings.len_bytes);
    int end = 0;
    sscanf(text, " { } %n", &end);
    if (end == 0) {
        sscanf(text, " { \"threshold\" : %3d } %n", threshold, &end);
    }
    return end > 0 && (size_t)end == settings.len_bytes && *threshold >= 0 && *threshold <= 255;
}

static int32_t create(const SegueHost *host, const SegueModel *model, void **instance, SegueTextBuffer *error) {
    if (host->struct_size < sizeof *host || model->struct_size < sizeof *model) {
        return failed(error, "the host is older than this backend");
    }
    int threshold = 40;
    if (!read_settings(model->settings, &threshold)) {
        return failed(error, "settings: expected nothing, or threshold = 0 to 255");
    }
    Instance *created = malloc(sizeof *created);
    if (created == NULL) {
        return failed(error, "there is no memory left");
    }
    *created = (Instance){.host = host, .threshold = threshold};
    *instance = created;
    return SEGUE_STATUS_OK;
}

static void destroy(void *instance) {
    free(instance);
}

static int32_t info(void *instance, SegueBackendInfo *info, SegueTextBuffer *error) {
    (void)instance;
    if (info->struct_size < sizeof *info) {
        return failed(error, "the host is older than this backend");
    }
    info->input_width_px = info->input_height_px = 0; // Any size will do.
    info->classes = CLASSES;
    info->labels = LABELS;
    info->palette = PALETTE;
    info->max_batch = info->max_concurrency = 1;
    info->memory_bytes = sizeof(Instance);
    info->has_confidence = 1;
    return SEGUE_STATUS_OK;
}

// Why `frame` and `output` can't be worked with; NULL when they can.
static const char *fault_of(const SegueFrame *frame, const SegueOutput *output) {
    if (frame->struct_size < sizeof *frame || output->struct_size < sizeof *output) {
        return "the host is older than this backend";
    }
    if (frame->format != SEGUE_FORMAT_RGB8 || frame->data == NULL || frame->width_px == 0 || frame->height_px == 0) {
        return "a frame without pixels, or not of RGB8";
    }
    uint64_t row_len_bytes = 3 * (uint64_t)frame->width_px;
    uint64_t rows_before_last = frame->height_px - 1;
    if (frame->stride_bytes < row_len_bytes ||
        frame->len_bytes < rows_before_last * frame->stride_bytes + row_len_bytes) {
        return "a frame shorter than its sizes say";
    }
    uint64_t pixels = (uint64_t)output->width_px * output->height_px;
    if (pixels == 0 || output->labels == NULL || output->labels_len_bytes < pixels) {
        return "an output without room for its labels";
    }
    if (output->confidence != NULL && output->confidence_len_bytes < pixels) {
        return "an output without room for its confidence plane";
    }
    return NULL;
}

// By how much green exceeds the other two, -255 to 255.
static int greenness(const uint8_t *pixel) {
    return pixel[1] - (pixel[0] > pixel[2] ? pixel[0] : pixel[2]);
}

static uint8_t confidence_of(int distance) {
    int confidence = 128 + 2 * abs(distance);
    return (uint8_t)(confidence < 255 ? confidence : 255);
}

// Row `y` of the mask. It may be smaller or larger than the frame: each pixel takes the nearest one.
static void segment_row(const Instance *it, const SegueFrame *frame, SegueOutput *output, uint32_t y) {
    size_t frame_y = (size_t)((uint64_t)y * frame->height_px / output->height_px);
    const uint8_t *row = frame->data + frame_y * frame->stride_bytes;
    size_t start = (size_t)y * output->width_px;
    for (uint32_t x = 0; x < output->width_px; x++) {
        size_t frame_x = (size_t)((uint64_t)x * frame->width_px / output->width_px);
        int distance = greenness(row + 3 * frame_x) - it->threshold;
        output->labels[start + x] = distance > 0 ? BACKGROUND : SUBJECT;
        if (output->confidence != NULL) {
            output->confidence[start + x] = confidence_of(distance);
        }
    }
}

static int32_t infer(void *instance, const SegueFrame *frame, SegueOutput *output, SegueTextBuffer *error) {
    const Instance *it = instance;
    const SegueHost *host = it->host;
    const char *fault = fault_of(frame, output);
    if (fault != NULL) {
        return failed(error, fault);
    }
    uint64_t start = host->now_nanos(host->context);
    for (uint32_t y = 0; y < output->height_px; y++) {
        if (y % 64 == 0 && host->cancelled(host->context, frame->token)) {
            return SEGUE_STATUS_CANCELLED;
        }
        segment_row(it, frame, output, y);
    }
    host->stage(host->context, frame->token, SEGUE_STAGE_FORWARD, start, host->now_nanos(host->context));
    output->written = 1;
    return SEGUE_STATUS_OK;
}

// The server reads this from the file, before any code of it runs: constants, and nothing computed.
const SeguePlugin segue_plugin_v1 = {
    .magic = SEGUE_MAGIC,
    .abi_major = SEGUE_ABI_MAJOR,
    .abi_minor = SEGUE_ABI_MINOR,
    .struct_size = sizeof(SeguePlugin),
    .sizeof_host = sizeof(SegueHost),
    .sizeof_model = sizeof(SegueModel),
    .sizeof_info = sizeof(SegueBackendInfo),
    .sizeof_frame = sizeof(SegueFrame),
    .sizeof_output = sizeof(SegueOutput),
    .flags = SEGUE_PLUGIN_PANIC_UNWIND, // There is nothing to catch in C.
    .name = "green-screen",
    .version = "0.1.0",
    .build = "example",
    .create = create,
    .destroy = destroy,
    .info = info,
    .infer = infer,
};
