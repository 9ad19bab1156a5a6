/* The only place that knows toml++: text in, a tree of C nodes out. No exception leaves this file. */
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>

#include "config_tree.h"

namespace
{

struct node_deleter {
    void operator()(config_node *node) const
    {
        config_node_free(node);
    }
};
using node_ptr = std::unique_ptr<config_node, node_deleter>;

void set_error(config_syntax_error *error, const toml::source_position &at, std::string_view text)
{
    error->line = static_cast<int>(at.line);
    error->column = static_cast<int>(at.column);
    std::snprintf(error->text, sizeof error->text, "%.*s", static_cast<int>(text.size()), text.data());
}

/* A C string cannot hold a NUL, and no key of the configuration has a use for one. */
struct nul_in_text {
    toml::source_position at;
};

node_ptr make(config_kind kind, const char *key, const toml::node &node, const std::string &text)
{
    if (text.find('\0') != std::string::npos)
        throw nul_in_text{node.source().begin};
    return node_ptr(config_node_new(kind, key, text.c_str()));
}

std::string float_text(double value)
{
    char text[32];
    std::snprintf(text, sizeof text, "%.15g", value);
    return text;
}

template <typename T> std::string stream_text(const T &value)
{
    std::ostringstream out;
    out << value;
    return out.str();
}

node_ptr convert(const toml::node &node, const char *key);

node_ptr convert_table(const toml::table &table, const char *key)
{
    node_ptr out(config_node_new(CONFIG_TABLE, key, nullptr));
    for (auto &&[name, value] : table) {
        const std::string text(name.str());
        if (text.find('\0') != std::string::npos)
            throw nul_in_text{name.source().begin};
        node_ptr child = convert(value, text.c_str());
        child->key_line = static_cast<int>(name.source().begin.line);
        child->key_column = static_cast<int>(name.source().begin.column);
        config_node_add_take(out.get(), child.release());
    }
    return out;
}

node_ptr convert_array(const toml::array &array, const char *key)
{
    node_ptr out(config_node_new(CONFIG_ARRAY, key, nullptr));
    for (auto &&value : array)
        config_node_add_take(out.get(), convert(value, nullptr).release());
    return out;
}

node_ptr convert_scalar(const toml::node &node, const char *key)
{
    if (auto *text = node.as_string())
        return make(CONFIG_TEXT, key, node, text->get());
    if (auto *number = node.as_integer()) {
        node_ptr out = make(CONFIG_INT, key, node, std::to_string(number->get()));
        out->number = number->get();
        return out;
    }
    if (auto *number = node.as_floating_point())
        return make(CONFIG_FLOAT, key, node, float_text(number->get()));
    if (auto *flag = node.as_boolean()) {
        node_ptr out = make(CONFIG_BOOL, key, node, flag->get() ? "true" : "false");
        out->number = flag->get();
        return out;
    }
    if (auto *time = node.as_date_time())
        return make(CONFIG_TIME, key, node, stream_text(time->get()));
    if (auto *date = node.as_date())
        return make(CONFIG_TIME, key, node, stream_text(date->get()));
    return make(CONFIG_TIME, key, node, stream_text(node.as_time()->get()));
}

node_ptr convert(const toml::node &node, const char *key)
{
    node_ptr out;
    if (auto *table = node.as_table())
        out = convert_table(*table, key);
    else if (auto *array = node.as_array())
        out = convert_array(*array, key);
    else
        out = convert_scalar(node, key);
    out->line = static_cast<int>(node.source().begin.line);
    out->column = static_cast<int>(node.source().begin.column);
    return out;
}

} // namespace

extern "C" int config_tree_parse(const char *text, size_t len, config_node **ret_root, config_syntax_error *error)
{
    try {
        toml::parse_result result = toml::parse(std::string_view(text, len));
        if (!result) {
            set_error(error, result.error().source().begin, result.error().description());
            return -EINVAL;
        }
        *ret_root = convert(result.table(), nullptr).release();
        return 0;
    } catch (const nul_in_text &nul) {
        set_error(error, nul.at, "a text with a NUL character");
    } catch (const std::exception &e) {
        set_error(error, {1, 1}, e.what());
    }
    return -EINVAL;
}
