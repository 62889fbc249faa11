/* A backend in C++: it tells what is in focus from what is blurred, as a portrait's subject is from its background.
 *
 * In the root of the repository, this builds it and puts it where `cargo xtask serve` looks for plugins:
 *
 *     c++ -std=c++20 -O2 -Wall -Wextra -shared -fPIC -I plugins/abi/include \
 *         -o target/release/plugins/libin_focus.so examples/in-focus/in_focus.cpp
 *
 * A model that it runs, as models/in-focus.toml:
 *
 *     backend = "in-focus"
 *     title = "In focus"
 *     licence = "MIT"
 */

#include <segue.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

// A failure that is told to the operator, and leaves the instance usable.
struct Refusal : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Nobody waits for the frame any more.
struct Cancelled {};

void tell(SegueTextBuffer *error, std::string_view reason) noexcept {
    if (error != nullptr) {
        error->len_bytes = std::min(reason.size(), error->capacity_bytes);
        std::memcpy(error->data, reason.data(), error->len_bytes);
    }
}

// Runs `work`; no exception leaves the library.
template <typename Work> int32_t guarded(SegueTextBuffer *error, Work work) noexcept {
    try {
        work();
        return SEGUE_STATUS_OK;
    } catch (const Cancelled &) {
        return SEGUE_STATUS_CANCELLED;
    } catch (const Refusal &refusal) {
        tell(error, refusal.what());
        return SEGUE_STATUS_FAILED;
    } catch (const std::exception &exception) {
        tell(error, exception.what());
        return SEGUE_STATUS_PANICKED;
    } catch (...) {
        tell(error, "an exception of an unknown type");
        return SEGUE_STATUS_PANICKED;
    }
}

void require(bool holds, const char *reason) {
    if (!holds) {
        throw Refusal(reason);
    }
}

// Reports how long it lived as the time of a stage.
class StageTimer {
public:
    StageTimer(const SegueHost &host, uint64_t token, uint32_t stage)
        : host_(host), token_(token), stage_(stage), start_nanos_(host.now_nanos(host.context)) {
        if (host.cancelled(host.context, token) != 0) {
            throw Cancelled{};
        }
    }
    ~StageTimer() { host_.stage(host_.context, token_, stage_, start_nanos_, host_.now_nanos(host_.context)); }
    StageTimer(const StageTimer &) = delete;
    StageTimer &operator=(const StageTimer &) = delete;

private:
    const SegueHost &host_;
    uint64_t token_;
    uint32_t stage_;
    uint64_t start_nanos_;
};

void check(const SegueFrame &frame, const SegueOutput &output) {
    require(frame.struct_size >= sizeof frame && output.struct_size >= sizeof output,
            "the host is older than this backend");
    require(frame.format == SEGUE_FORMAT_RGB8 && frame.data != nullptr && frame.width_px > 0 && frame.height_px > 0,
            "a frame without pixels, or not of RGB8");
    const uint64_t row_len_bytes = uint64_t{3} * frame.width_px;
    const uint64_t rows_before_last = frame.height_px - 1;
    require(frame.stride_bytes >= row_len_bytes &&
                frame.len_bytes >= rows_before_last * frame.stride_bytes + row_len_bytes,
            "a frame shorter than its sizes say");
    const uint64_t pixels = uint64_t{output.width_px} * output.height_px;
    require(pixels > 0 && output.labels != nullptr && output.labels_len_bytes >= pixels,
            "an output without room for its labels");
    require(output.confidence == nullptr || output.confidence_len_bytes >= pixels,
            "an output without room for its confidence plane");
}

// A small picture of one number a cell; its memory is used again from frame to frame.
struct Grid {
    size_t width = 0, height = 0;
    std::vector<float> cells;

    void clear(size_t new_width, size_t new_height) {
        width = new_width;
        height = new_height;
        cells.assign(width * height, 0.0F);
    }

    // The value at a place between cells, by those around it; beyond the border, by the nearest ones.
    float between(float x, float y) const {
        x = std::clamp(x, 0.0F, static_cast<float>(width - 1));
        y = std::clamp(y, 0.0F, static_cast<float>(height - 1));
        const auto left = static_cast<size_t>(x), top = static_cast<size_t>(y);
        const size_t right = std::min(left + 1, width - 1), bottom = std::min(top + 1, height - 1);
        const float in_x = x - static_cast<float>(left), in_y = y - static_cast<float>(top);
        const float above = std::lerp(cells[top * width + left], cells[top * width + right], in_x);
        const float below = std::lerp(cells[bottom * width + left], cells[bottom * width + right], in_x);
        return std::lerp(above, below, in_y);
    }
};

// One instance is one object: made by `create`, gone with `destroy`, called by one thread at a time.
class InFocus {
public:
    // It takes no settings: the object may hold nothing.
    InFocus(const SegueHost &host, std::string settings) : host_(host) {
        std::erase_if(settings, [](unsigned char letter) { return letter <= ' '; });
        require(settings == "{}", "settings: this backend takes none");
    }

    static void describe(SegueBackendInfo &info) {
        require(info.struct_size >= sizeof info, "the host is older than this backend");
        const uint32_t struct_size = info.struct_size;
        info = SegueBackendInfo{};
        info.struct_size = struct_size;
        info.classes = CLASSES;
        info.labels = LABELS.data();
        info.palette = PALETTE.data();
        info.max_batch = 1;
        info.max_concurrency = 1;
        info.has_confidence = 1;
    }

    void segment(const SegueFrame &frame, SegueOutput &output) {
        check(frame, output);
        {
            const StageTimer timer(host_, frame.token, SEGUE_STAGE_PREPROCESS);
            measure_contrast(frame);
        }
        {
            const StageTimer timer(host_, frame.token, SEGUE_STAGE_FORWARD);
            score();
        }
        const StageTimer timer(host_, frame.token, SEGUE_STAGE_POSTPROCESS);
        fill(output);
        output.written = 1;
    }

private:
    enum Class : uint8_t { BACKGROUND, SHARP, CLASSES };
    static inline const std::array<SegueText, CLASSES> LABELS{
        {{reinterpret_cast<const uint8_t *>("background"), 10}, {reinterpret_cast<const uint8_t *>("sharp"), 5}}};
    static constexpr std::array<SegueRgb, CLASSES> PALETTE{{{0, 0, 0}, {255, 120, 40}}};
    static constexpr size_t LARGEST_GRID_WIDTH = 64, LARGEST_GRID_HEIGHT = 36;

    // Sums, by cell, how much each pixel differs from those right of it and below it.
    void measure_contrast(const SegueFrame &frame) {
        const size_t width = frame.width_px, height = frame.height_px;
        grid_.clear(std::min(width, LARGEST_GRID_WIDTH), std::min(height, LARGEST_GRID_HEIGHT));
        for (size_t y = 0; y < height; ++y) {
            const uint8_t *row = frame.data + y * frame.stride_bytes;
            const uint8_t *below = y + 1 < height ? row + frame.stride_bytes : row;
            float *cells = &grid_.cells[y * grid_.height / height * grid_.width];
            for (size_t x = 0; x < width; ++x) {
                const int here = brightness(row, x);
                const int right = brightness(row, std::min(x + 1, width - 1));
                const int differs = std::abs(right - here) + std::abs(brightness(below, x) - here);
                cells[x * grid_.width / width] += static_cast<float>(differs);
            }
        }
    }

    // From contrast to a score of 0 to 1; 0.5 is the picture's average.
    void score() {
        const float sum = std::accumulate(grid_.cells.begin(), grid_.cells.end(), 0.0F);
        const float average = sum / static_cast<float>(grid_.cells.size());
        for (float &cell : grid_.cells) {
            cell = cell > 0 ? cell / (cell + average) : 0;
        }
    }

    // Scores are enlarged to the size that the host wants, and labels come last: so edges stay smooth.
    void fill(SegueOutput &output) const {
        const float step_x = static_cast<float>(grid_.width) / static_cast<float>(output.width_px);
        const float step_y = static_cast<float>(grid_.height) / static_cast<float>(output.height_px);
        size_t at = 0;
        for (uint32_t y = 0; y < output.height_px; ++y) {
            for (uint32_t x = 0; x < output.width_px; ++x, ++at) {
                const float score = grid_.between((static_cast<float>(x) + 0.5F) * step_x - 0.5F,
                                                  (static_cast<float>(y) + 0.5F) * step_y - 0.5F);
                output.labels[at] = score > 0.5F ? SHARP : BACKGROUND;
                if (output.confidence != nullptr) {
                    output.confidence[at] = static_cast<uint8_t>(std::lround(255 * std::max(score, 1 - score)));
                }
            }
        }
    }

    static int brightness(const uint8_t *row, size_t x) {
        const uint8_t *pixel = row + 3 * x;
        return (pixel[0] + 2 * pixel[1] + pixel[2]) / 4;
    }

    const SegueHost &host_;
    Grid grid_;
};

int32_t create(const SegueHost *host, const SegueModel *model, void **instance, SegueTextBuffer *error) {
    return guarded(error, [&] {
        require(host->struct_size >= sizeof *host && model->struct_size >= sizeof *model,
                "the host is older than this backend");
        const SegueText &settings = model->settings;
        auto created = std::make_unique<InFocus>(
            *host, std::string(reinterpret_cast<const char *>(settings.data), settings.len_bytes));
        *instance = created.release();
    });
}

void destroy(void *instance) {
    delete static_cast<InFocus *>(instance);
}

int32_t info(void *, SegueBackendInfo *info, SegueTextBuffer *error) {
    return guarded(error, [&] { InFocus::describe(*info); });
}

int32_t infer(void *instance, const SegueFrame *frame, SegueOutput *output, SegueTextBuffer *error) {
    return guarded(error, [&] { static_cast<InFocus *>(instance)->segment(*frame, *output); });
}

} // namespace

// The server reads this from the file, before any code of it runs: `constinit`, so that nothing is computed.
constinit const SeguePlugin segue_plugin_v1 = {
    .magic = SEGUE_MAGIC,
    .abi_major = SEGUE_ABI_MAJOR,
    .abi_minor = SEGUE_ABI_MINOR,
    .struct_size = sizeof(SeguePlugin),
    .sizeof_host = sizeof(SegueHost),
    .sizeof_model = sizeof(SegueModel),
    .sizeof_info = sizeof(SegueBackendInfo),
    .sizeof_frame = sizeof(SegueFrame),
    .sizeof_output = sizeof(SegueOutput),
    .flags = SEGUE_PLUGIN_PANIC_UNWIND,
    .name = "in-focus",
    .version = "0.1.0",
    .build = "example",
    .create = create,
    .destroy = destroy,
    .info = info,
    .infer = infer,
    .warm_up = nullptr, // These four are optional.
    .reset = nullptr,
    .quiesce = nullptr,
    .propose = nullptr,
};
